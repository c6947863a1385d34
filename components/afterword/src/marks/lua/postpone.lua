-- A key's refresh failed. ARGV: token, key, milliseconds, why; returns 1, or 0 if the lease is another's by now.
-- Nothing is dropped: the mark stays, is due again later, and says why.
if redis.call('GET', lease) ~= ARGV[1] then return 0 end
redis.call('HINCRBY', failures, ARGV[2], 1)
redis.call('HSET', errors, ARGV[2], ARGV[4])
redis.call('ZADD', due, 'XX', now + ARGV[3], ARGV[2])
return 1
