
-- The refresh of keys failed, and it was about them: key, milliseconds of its pause, and so on. Returns 1, or 0 if the lease is
-- another's by now.
-- Nothing is dropped: the mark stays, is due again later, and says why. Without the lease the keys are marked again: a write that
-- was given up may have been carried out all the same, and be older than what the other has written.
function verbs.postpone(token, why, ...)
  local keys = {...}
  local held = redis.call('GET', lease) == token
  for i = 1, #keys, 2 do
    local key = keys[i]
    if held then
      redis.call('HINCRBY', failures, key, 1)
      redis.call('HSET', errors, key, why)
      redis.call('ZADD', due, 'XX', now + keys[i + 1], key)
    else
      changed(key, redis.call('INCR', counter))
      wake(key)
    end
  end
  return held and 1 or 0
end
