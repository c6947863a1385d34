-- What is due, longest due first. ARGV: token, limit; returns key, sequence, failures for each, or nil if the lease is lost.
-- The sequence numbers are read before the worker fetches: a mark set later has another number, and is not cleared.
if redis.call('GET', lease) ~= ARGV[1] then return false end
local claimed = {}
for _, key in ipairs(redis.call('ZRANGE', due, '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[2])) do
  claimed[#claimed + 1] = key
  claimed[#claimed + 1] = tonumber(redis.call('HGET', sequences, key) or 0)
  claimed[#claimed + 1] = tonumber(redis.call('HGET', failures, key) or 0)
end
return claimed
