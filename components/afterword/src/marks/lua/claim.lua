
-- What is due, longest due first. Returns key, sequence, failures, and 1 for a suspect (see `hold`), for each, or nil if the lease
-- is lost.
-- The sequence numbers are read before the worker fetches: a mark set later has another number, and is not cleared.
-- While the origin fails, one key at a time is given out, and at most one in PROBE milliseconds: its request is the probe. A
-- failure of a worker that was set up otherwise (another key, another URL) says nothing about this one.
function verbs.claim(token, limit, setup)
  if redis.call('GET', lease) ~= token then return false end
  if redis.call('EXISTS', origin) == 1 and redis.call('HGET', origin, 'setup') ~= setup then redis.call('DEL', origin) end
  local probe = tonumber(redis.call('HGET', origin, 'probe') or nil)
  if probe then
    if now < probe then return {} end
    limit = 1
  end
  local claimed = {}
  for _, key in ipairs(redis.call('ZRANGE', due, '-inf', now, 'BYSCORE', 'LIMIT', 0, limit)) do
    claimed[#claimed + 1] = key
    claimed[#claimed + 1] = tonumber(redis.call('HGET', sequences, key) or 0)
    claimed[#claimed + 1] = tonumber(redis.call('HGET', failures, key) or 0)
    claimed[#claimed + 1] = redis.call('HGET', suspects, key) == 'own' and 1 or 0
  end
  if probe and #claimed > 0 then redis.call('HSET', origin, 'probe', now + PROBE) end
  return claimed
end
