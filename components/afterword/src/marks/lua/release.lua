
-- The worker found nothing due and would stop; reconciliations are so many milliseconds apart.
-- Returns the milliseconds after which something is due, if that is within one TURN: the worker keeps the lease and goes on.
-- Else deletes the lease, sets the alarm to what comes first, and returns nil; nil too if the lease is lost.
-- Looking and deleting in one script: a mark set after the last claim either is seen here or finds no lease, and wakes.
function verbs.release(token, every)
  if redis.call('GET', lease) ~= token then return false end
  local first = tonumber(redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2] or now + HEARTBEAT)
  local probe = tonumber(redis.call('HGET', origin, 'probe') or 0)
  local wait = math.max(0, first - now, probe - now)
  if wait <= TURN then return wait end
  local reconciliation = tonumber(redis.call('GET', reconciled) or now) + every - now
  -- One that is overdue waits for the list, whose mark has a time of its own.
  if reconciliation > 0 then wait = math.min(wait, reconciliation) end
  redis.call('DEL', lease)
  redis.call('SET', timer, 1, 'PX', math.max(1, math.ceil(math.min(wait, HEARTBEAT))))
  return false
end
