
-- A reader found an entry missing or stale. Returns 1 if that marked the key.
-- Changes nothing about a key that is marked: a reader's wish must not undo a back-off.
function verbs.wanted(channel, key)
  local added = redis.call('ZADD', due, 'NX', turn(key), key)
  if added == 1 then
    redis.call('HSET', sequences, key, redis.call('INCR', counter))
    redis.call('HSET', since, key, now)
  end
  wake(channel, key)
  return added
end
