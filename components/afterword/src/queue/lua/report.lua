
-- An instance reports what it has counted since its last report: pairs of a counter and its
-- increment, or of `id:answered` and the milliseconds from an event's receipt to its
-- acknowledgement. With `checks`, it also checks for overdue tasks: the safety net in case every
-- wake-up got lost. Wakes a worker if a task is overdue and no worker is at work, or if the alarm
-- is missing, which every worker leaves set. Returns 1 if the wake-up reached a worker, and 1 if
-- the caller has to wake one.
--
-- The check comes first, and the counting uses `pcall`, so that the check works while Redis refuses
-- writes.
function operations.report(checks, ...)
  local reached = 0
  if checks == '1' then
    local left = redis.call('PTTL', lease)
    local is_idle = left == -2 or left > LEASE_TTL
    if is_idle and request_wait() == 0 then
      local first = tonumber(redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')[2] or nil)
      local overdue = first and (first < now - SAFETY_ALARM or first > FAR)
      if overdue or redis.call('EXISTS', alarm) == 0 then reached = math.min(1, publish()) end
    end
  end
  local counted = {...}
  for i = 1, #counted, 2 do
    local name, count = counted[i], counted[i + 1]
    local id = string.match(name, '^(%d+):answered$')
    if not id then redis.pcall('HINCRBY', metrics, name, count)
    elseif redis.call('HEXISTS', events, id) == 1 then
      redis.pcall('HSET', events, name, count)
    end
  end
  return {reached, caller_wakes}
end
