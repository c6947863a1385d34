
-- The safety net: readers call this from time to time, after their response. Wakes a worker if a
-- task is overdue and no worker is at work, or if the alarm is missing, which every worker leaves
-- set. Returns 1 if the wake-up reached a worker, and 1 if the caller has to wake one. Writes
-- only if it wakes one, so that it works while Redis refuses writes.
function operations.check()
  local left = redis.call('PTTL', lease)
  if left ~= -2 and left <= LEASE_TTL then return {0, 0} end
  if request_wait() > 0 then return {0, 0} end
  local first = tonumber(redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')[2] or nil)
  local overdue = first and (first < now - SAFETY_ALARM or first > FAR)
  if not overdue and redis.call('EXISTS', alarm) == 1 then return {0, 0} end
  return {math.min(1, publish()), caller_wakes}
end
