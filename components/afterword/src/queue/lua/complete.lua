
-- The store holds content that was fetched after the claim at millisecond `claimed_at`. Returns
--   'completed'  the task is removed from the queue
--   'again'      the task has another version: it was invalidated meanwhile, and stays queued for
--                the next debounce window
--   'lagging'    the origin's replicas may not have had the change yet: the task stays queued until
--                `replica_lag` milliseconds after the change
--   'lost'       the lease is lost: the task is queued again
-- A task without a version is completed: the version was evicted, or a
-- program other than Afterword queued the task.
function operations.complete(token, task, version, claimed_at, replica_lag)
  if not holds_lease(token) then
    requeue_without_lease(task)
    return 'lost'
  end
  redis.call('HDEL', failures, task)
  redis.call('HDEL', errors, task)
  redis.call('HDEL', suspects, task)
  redis.call('ZREMRANGEBYSCORE', completed, '-inf', now - DEBOUNCE_WINDOW)
  redis.call('ZADD', completed, now, task)
  local current = redis.call('HGET', versions, task)
  if current and current ~= version then
    redis.call('HSET', queued_at, task, now)
    redis.call('ZADD', queue, next_window(now), task)
    return 'again'
  end
  local changed = current and tonumber(replica_lag) > 0 and changed_at(current)
  if changed and changed <= now and tonumber(claimed_at) < changed + replica_lag then
    redis.call('HSET', queued_at, task, now)
    redis.call('ZADD', queue, changed + replica_lag, task)
    return 'lagging'
  end
  redis.call('ZREM', queue, task)
  redis.call('HDEL', versions, task)
  redis.call('HDEL', queued_at, task)
  return 'completed'
end
