-- A reader found an entry missing or stale. Returns 1 if that queued the key. Changes nothing about
-- a key that is queued: a reader must not undo a back-off. With `asked`, the entry was missing, and
-- that reader has the origin's response: it gives the fetch lock back.
function verbs.wanted(key, asked)
  local added = redis.call('ZADD', due, 'NX', window(key), key)
  if added == 1 then
    redis.call('HSET', sequences, key, unique() .. '-read')
    redis.call('HSET', since, key, now)
  end
  if asked and known(key) then redis.call('HDEL', misses, slot(key)) end
  wake(key)
  return added
end
