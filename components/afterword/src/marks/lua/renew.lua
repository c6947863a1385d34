-- The worker is still at it. ARGV: token, milliseconds; returns 1, or 0 if the lease is another's by now.
if redis.call('GET', lease) ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', lease, ARGV[2])
return 1
