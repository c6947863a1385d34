
-- The longest delay of a suspect. What looks like the origin's failure may pass as quickly.
local MAX_SUSPECT_DELAY = 8000

-- After more failures than this, a suspect's delay is no longer capped at MAX_SUSPECT_DELAY.
local MAX_SUSPECT_FAILURES = 6

-- Tasks failed because the origin failed. The circuit breaker trips: the origin gets no request for
-- `pause` milliseconds; with a pause of 0, for a second, doubling with each trip in a row. Returns
-- for how many milliseconds the breaker has been open; -1 if it stays closed; nil if another worker
-- holds the lease.
--
-- The last arguments are pairs of a task and its own delay in milliseconds. The tasks stay due,
-- behind the others, so that the next probe is another task.
--
-- A suspect is a task whose requests failed while the origin answered others. It backs off alone
-- and does not trip the breaker, unless it was the probe, or `always` is 1: so many requests failed
-- in a row that the origin is at fault.
function operations.trip(token, why, configuration, pause, always, ...)
  if not holds_lease(token) then return false end
  local tasks = {...}
  local open = redis.call('EXISTS', breaker) == 1
  local probing = open and redis.call('HEXISTS', breaker, 'allowed') == 0
  local trips = false
  for i = 1, #tasks, 2 do
    local task = tasks[i]
    local suspect = redis.call('HGET', suspects, task) == 'own'
    local failed = redis.call('HINCRBY', failures, task, 1)
    redis.call('HSET', errors, task, why)
    redis.pcall('HINCRBY', metrics, 'retries', 1)
    if suspect and not probing and always ~= '1' then
      local delay = tonumber(tasks[i + 1])
      if failed <= MAX_SUSPECT_FAILURES then delay = math.min(delay, MAX_SUSPECT_DELAY) end
      redis.call('ZADD', queue, 'XX', now + delay, task)
      set_alarm(delay)
    else
      trips = true
      if not suspect then redis.call('HSET', suspects, task, 'held') end
      redis.call('ZADD', queue, 'XX', now + 1, task)
    end
  end
  if not trips then
    if open then redis.call('HSET', breaker, 'probe', now) end
    return -1
  end
  -- `given` exists until the first failure of a claim. Later failures do not count as trips.
  local first = redis.call('HDEL', breaker, 'given') == 1 or not open
  local count = first and redis.call('HINCRBY', breaker, 'trips', 1)
    or tonumber(redis.call('HGET', breaker, 'trips') or 1)
  pause = tonumber(pause)
  if pause == 0 then pause = math.min(MAX_DELAY, 1000 * 2 ^ (count - 1)) end
  local probe = now + pause
  if not first then probe = math.max(probe, next_probe() or 0) end
  if not open then redis.pcall('HINCRBY', metrics, 'breaker_trips', 1) end
  set_origin_fails(true)
  redis.call('HDEL', breaker, 'allowed')
  redis.call('HSETNX', breaker, 'opened_at', now)
  redis.call('HSET', breaker, 'probe', probe, 'why', why, 'configuration', configuration)
  set_alarm(probe - now)
  return math.max(0, now - redis.call('HGET', breaker, 'opened_at'))
end
