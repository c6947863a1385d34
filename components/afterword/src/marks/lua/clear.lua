-- The store holds content of a key that was fetched after its claim. ARGV: token, key, sequence, channel.
-- Returns 'cleared'; or 'again' if it was marked meanwhile: it stays marked, for its next turn;
-- or 'lost' if the lease is another's by now: what was just written may be older than what the other has written, so the
-- key is marked again, and whoever holds the lease writes last.
local token, key, sequence, channel = unpack(ARGV)
if redis.call('GET', lease) ~= token then
  changed(key, redis.call('INCR', counter))
  wake(channel, key)
  return 'lost'
end
redis.call('HDEL', failures, key)
redis.call('HDEL', errors, key)
if redis.call('HGET', sequences, key) ~= sequence then
  redis.call('ZADD', due, 'XX', now + TURN, key)
  return 'again'
end
redis.call('ZREM', due, key)
redis.call('HDEL', sequences, key)
redis.call('HDEL', since, key)
redis.call('ZREMRANGEBYSCORE', refreshed, '-inf', now - TURN)
redis.call('ZADD', refreshed, now, key)
return 'cleared'
