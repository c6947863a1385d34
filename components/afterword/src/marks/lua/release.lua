
-- The worker found nothing due and would stop; reconciliations are so many milliseconds apart.
-- Returns the milliseconds after which something is due, if that is within one debounce window: the
-- worker keeps the lease. Else deletes the lease, sets the alarm to what comes first, and returns
-- nil; nil too if the lease is lost. Looking and deleting in one script: a task queued after the
-- last claim either is seen here or finds no lease, and wakes.
function verbs.release(token, every)
  if not holds(token) then return false end
  local first = tonumber(redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2] or now + HEARTBEAT)
  local wait = math.max(0, first - now, (next_probe() or 0) - now)
  if wait <= WINDOW then return wait end
  local at = tonumber(string.match(redis.call('GET', reconciled) or '', '^%d+') or now)
  -- One that is overdue is queued, with a time of its own.
  if at + every > now then wait = math.min(wait, at + every - now) end
  -- The last request succeeded, and nothing is left to try the origin with.
  if redis.call('HEXISTS', origin, 'allowed') == 1 then redis.call('DEL', origin) end
  redis.call('DEL', lease)
  redis.call('SET', timer, 1, 'PX', math.max(1, math.ceil(math.min(wait, HEARTBEAT))))
  return false
end
