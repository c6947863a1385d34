
-- The worker found no due task. Releases the lease, sets the alarm to the next task or
-- reconciliation, and returns nil; nil, too, if the lease is lost. If a task is due
-- within one debounce window, the worker keeps the lease, and gets the milliseconds until then.
--
-- The check and the deletion are one script: a task that is queued after the last claim is either
-- seen here, or finds no lease and wakes a worker.
function operations.release(token, reconcile_interval)
  if not holds_lease(token) then return false end
  local first = redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')[2]
  first = tonumber(first or now + MAX_ALARM)
  local wait = math.max(0, first - now, (next_probe() or 0) - now)
  if wait <= DEBOUNCE_WINDOW then return wait end
  local at = tonumber(string.match(redis.call('GET', reconciled) or '', '^%d+') or now)
  -- An overdue reconciliation is in the queue.
  if at + reconcile_interval > now then wait = math.min(wait, at + reconcile_interval - now) end
  -- The last request succeeded, and no task is left to probe the origin with.
  if redis.call('HEXISTS', breaker, 'allowed') == 1 then redis.call('DEL', breaker) end
  redis.call('DEL', lease)
  redis.call('SET', alarm, 1, 'PX', math.max(1, math.ceil(math.min(wait, MAX_ALARM))))
  return false
end
