-- A reader found an entry missing or stale. Returns 1 if that marked the key.
-- Changes nothing about a key that is marked: a reader's wish must not undo a back-off.
-- With `asked`, it was missing, and that reader has asked the origin and has its answer: the next may.
function verbs.wanted(key, asked)
  local added = redis.call('ZADD', due, 'NX', turn(key), key)
  if added == 1 then
    redis.call('HSET', sequences, key, redis.call('INCR', counter))
    redis.call('HSET', since, key, now)
  end
  if asked and known(key) then redis.call('HDEL', misses, slot(key)) end
  wake(key)
  return added
end
