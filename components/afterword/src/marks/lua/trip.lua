
-- Tasks failed because the origin does: task, milliseconds of its own pause, and so on. Returns for
-- how many milliseconds the circuit breaker has been open; -1 if it stays closed; nil if the lease
-- is another's by now. The tasks stay due, behind those that have not been tried, so that the next
-- probe is another's. The breaker opens for `pause` milliseconds; or, with a pause of 0, for a
-- second, doubling with each trip in a row. A suspect, whose requests failed while the origin
-- answered others, backs off alone, unless it was the probe, or `always` is 1: so many requests
-- failed in a row that it is the origin after all.
function verbs.trip(token, why, setup, pause, always, ...)
  if not holds(token) then return false end
  local tasks = {...}
  local open = redis.call('EXISTS', origin) == 1
  local probe = open and redis.call('HEXISTS', origin, 'allowed') == 0
  local trips = false
  for i = 1, #tasks, 2 do
    local task = tasks[i]
    local own = redis.call('HGET', suspects, task) == 'own'
    local failed = redis.call('HINCRBY', failures, task, 1)
    redis.call('HSET', errors, task, why)
    if own and not probe and always ~= '1' then
      local least = tonumber(tasks[i + 1])
      if failed <= PASSING then least = math.min(least, SUSPECT) end
      redis.call('ZADD', due, 'XX', now + least, task)
      alarm(least)
    else
      trips = true
      if not own then redis.call('HSET', suspects, task, 'held') end
      redis.call('ZADD', due, 'XX', now + 1, task)
    end
  end
  if not trips then
    if open then redis.call('HSET', origin, 'probe', now) end
    return -1
  end
  -- Of the requests that were under way together, the first that fails counts.
  local first = redis.call('HDEL', origin, 'given') == 1 or not open
  local count = first and redis.call('HINCRBY', origin, 'trips', 1)
    or tonumber(redis.call('HGET', origin, 'trips') or 1)
  pause = tonumber(pause)
  if pause == 0 then pause = math.min(LONGEST, 1000 * 2 ^ (count - 1)) end
  local probe = now + pause
  if not first then probe = math.max(probe, next_probe() or 0) end
  redis.call('HDEL', origin, 'allowed')
  redis.call('HSETNX', origin, 'since', now)
  redis.call('HSET', origin, 'probe', probe, 'why', why, 'setup', setup)
  alarm(probe - now)
  return math.max(0, now - redis.call('HGET', origin, 'since'))
end
