
-- The safety net: readers and webhooks ask this now and then, after their response. Wakes a worker
-- if something is overdue that nobody works on, or if the alarm is gone, which a worker always
-- leaves behind. Returns 1 if that reached one. Reads only, unless it wakes: so it works where
-- Redis refuses writes.
function verbs.check()
  local held = redis.call('PTTL', lease)
  if held ~= -2 and held <= LEASE then return 0 end
  local probe = next_probe()
  if probe and probe > now then return 0 end
  local first = tonumber(redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2] or nil)
  local overdue = first and (first < now - SAFETY or first > FAR)
  if not overdue and redis.call('EXISTS', timer) == 1 then return 0 end
  return math.min(1, publish())
end
