-- A worker asks for the lease. ARGV: milliseconds; returns the lease's token, or nil if another worker holds it.
-- Whoever takes it has been woken: the next mark after its release may wake again.
redis.call('DEL', waking)
if redis.call('EXISTS', lease) == 1 then return false end
local token = redis.call('INCR', counter)
redis.call('SET', lease, token, 'PX', ARGV[1])
return token
