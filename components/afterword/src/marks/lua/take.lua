
-- A worker asks for the lease, for so many milliseconds, and counts as alive for so many. Returns the lease's token, or nil if
-- another worker holds it.
-- Whoever asks has been woken: the next mark after its release may wake again.
function verbs.take(lasts, lives)
  redis.call('DEL', waking)
  if redis.call('EXISTS', lease) == 1 then
    -- If its holder is dead, somebody has to come when it has run out, whether or not Redis tells of that.
    alarm(redis.call('PTTL', lease) + 100)
    return false
  end
  local token = redis.call('INCR', counter)
  redis.call('SET', lease, token, 'PX', lasts)
  redis.call('SET', alive, 1, 'PX', lives)
  return token
end
