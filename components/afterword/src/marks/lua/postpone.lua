
-- The refresh of keys failed, and it was about them: key, milliseconds of its pause, and so on. Returns 1, or 0 if the lease is
-- another's by now.
-- Nothing is dropped: the mark stays, is due again later, and says why.
function verbs.postpone(token, why, ...)
  if redis.call('GET', lease) ~= token then return 0 end
  local keys = {...}
  for i = 1, #keys, 2 do
    redis.call('HINCRBY', failures, keys[i], 1)
    redis.call('HSET', errors, keys[i], why)
    redis.call('ZADD', due, 'XX', now + keys[i + 1], keys[i])
  end
  return 1
end
