
-- The store holds content that was fetched after the task was claimed, in the millisecond
-- `claimed`. Returns 'completed'; or 'again' if a change came meanwhile: the task stays queued, for
-- the next debounce window; or 'lagging' if the origin's replicas may not have had the change yet:
-- it is refreshed once more, `lag` milliseconds after the change; or 'lost' if the lease is
-- another's by now. A task without a version is not known to have changed since, so it is
-- completed: its version was evicted, or somebody else queued it.
function verbs.complete(token, task, version, claimed, lag)
  if not holds(token) then
    again(task)
    return 'lost'
  end
  redis.call('HDEL', failures, task)
  redis.call('HDEL', errors, task)
  redis.call('HDEL', suspects, task)
  redis.call('ZREMRANGEBYSCORE', refreshed, '-inf', now - WINDOW)
  redis.call('ZADD', refreshed, now, task)
  local current = redis.call('HGET', sequences, task)
  if current and current ~= version then
    redis.call('HSET', since, task, now)
    redis.call('ZADD', due, tick(now), task)
    return 'again'
  end
  local changed = current and tonumber(lag) > 0 and changed_at(current)
  if changed and changed <= now and tonumber(claimed) < changed + lag then
    redis.call('HSET', since, task, now)
    redis.call('ZADD', due, changed + lag, task)
    return 'lagging'
  end
  redis.call('ZREM', due, task)
  redis.call('HDEL', sequences, task)
  redis.call('HDEL', since, task)
  return 'completed'
end
