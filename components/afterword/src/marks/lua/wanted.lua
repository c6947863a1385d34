-- A reader found an entry missing or stale. ARGV: channel, key; returns 1 if that marked the key.
-- Changes nothing about a key that is marked: a reader's wish must not undo a back-off.
local added = redis.call('ZADD', due, 'NX', turn(ARGV[2]), ARGV[2])
if added == 1 then
  redis.call('HSET', sequences, ARGV[2], redis.call('INCR', counter))
  redis.call('HSET', since, ARGV[2], now)
end
wake(ARGV[1], ARGV[2])
return added
