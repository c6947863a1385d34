
-- What is due, longest due first. Returns the millisecond, 1 if the circuit breaker is not closed,
-- and for each task: its name, version, failures, 1 for a suspect (see `trip`), and for how many
-- milliseconds it has been queued. Nil if the lease is lost. The versions are read before the
-- worker fetches: a change that comes later gives another, and the task stays queued. While the
-- circuit breaker is open, one task at a time is given out, and one in PROBE milliseconds: its
-- request is the probe. After a success, twice as many as the last time are given out. A breaker
-- that another configuration tripped says nothing about this one.
function verbs.claim(token, limit, setup)
  if not holds(token) then return false end
  if redis.call('EXISTS', origin) == 1 and redis.call('HGET', origin, 'setup') ~= setup then
    redis.call('DEL', origin)
  end
  local probe = next_probe()
  if probe and now < probe then return {now, 1} end
  if probe then limit = math.min(limit, tonumber(redis.call('HGET', origin, 'allowed') or 1)) end
  for _, task in ipairs(redis.call('ZRANGE', due, FAR, '+inf', 'BYSCORE', 'LIMIT', 0, limit)) do
    redis.call('ZADD', due, 'XX', now, task)
  end
  local claimed = {now, probe and 1 or 0}
  for _, task in ipairs(redis.call('ZRANGE', due, '-inf', now, 'BYSCORE', 'LIMIT', 0, limit)) do
    claimed[#claimed + 1] = task
    claimed[#claimed + 1] = redis.call('HGET', sequences, task) or ''
    claimed[#claimed + 1] = tonumber(redis.call('HGET', failures, task) or 0)
    claimed[#claimed + 1] = redis.call('HGET', suspects, task) == 'own' and 1 or 0
    local queued_at = tonumber(redis.call('HGET', since, task) or now)
    claimed[#claimed + 1] = math.max(0, now - queued_at)
  end
  if probe and #claimed > 2 then
    local given = (#claimed - 2) / 5
    local all = given < limit and 1 or 0
    redis.call('HSET', origin, 'probe', now + PROBE, 'given', given, 'all', all)
  end
  return claimed
end
