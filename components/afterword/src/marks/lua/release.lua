-- The worker found nothing due and would stop. ARGV: token; returns the milliseconds after which something is due, if that
-- is within one TURN: the worker keeps the lease and goes on. Else deletes the lease and returns nil; nil too if it is lost.
-- Looking and deleting in one script: a mark set after the last claim either is seen here or finds no lease, and wakes.
if redis.call('GET', lease) ~= ARGV[1] then return false end
local first = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2]
if first and tonumber(first) <= now + TURN then return math.max(0, first - now) end
redis.call('DEL', lease)
return false
