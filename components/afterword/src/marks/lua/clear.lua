
-- The store holds content of a key that was fetched after its claim.
-- Returns 'cleared'; or 'again' if it was marked meanwhile: it stays marked, for its next turn;
-- or 'lost' if the lease is another's by now: what was just written may be older than what the other has written, so the
-- key is marked again, and whoever holds the lease writes last.
function verbs.clear(token, key, sequence)
  if redis.call('GET', lease) ~= token then
    changed(key, redis.call('INCR', counter))
    wake(key)
    return 'lost'
  end
  redis.call('HDEL', failures, key)
  redis.call('HDEL', errors, key)
  -- The origin has answered: all that its failure held up is due at once.
  redis.call('HDEL', suspects, key)
  if redis.call('DEL', origin) == 1 then
    local held = redis.call('HGETALL', suspects)
    for i = 1, #held, 2 do
      if held[i + 1] == 'held' then
        redis.call('HSET', suspects, held[i], 'own')
        redis.call('ZADD', due, 'XX', now, held[i])
      end
    end
  end
  if redis.call('HGET', sequences, key) ~= sequence then
    redis.call('ZADD', due, 'XX', tick(now), key)
    return 'again'
  end
  redis.call('ZREM', due, key)
  redis.call('HDEL', sequences, key)
  redis.call('HDEL', since, key)
  redis.call('ZREMRANGEBYSCORE', refreshed, '-inf', now - TURN)
  redis.call('ZADD', refreshed, now, key)
  return 'cleared'
end
