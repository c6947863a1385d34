
-- A worker asks for the lease. Returns its token; or nil if another worker holds it; or, in a list,
-- the origin of another application that uses this prefix, and for how many milliseconds: its work
-- would be completed with content of this one. The application is known by its key-value store,
-- which stays the same when its configuration changes, and by its origin, which stays the same when
-- its store is emptied. Whoever asks has been woken: the next task after its release may wake
-- again.
function verbs.take(store, from)
  redis.call('DEL', waking)
  local its_store, its_origin = unpack(redis.call('HMGET', owner, 'store', 'origin'))
  local lives = redis.call('PTTL', owner)
  if its_store and its_store ~= store and its_origin ~= from and lives >= 0 and lives <= LIVES then
    return {its_origin, lives}
  end
  redis.call('HSET', owner, 'store', store ~= '' and store or its_store or '', 'origin', from)
  redis.call('PEXPIRE', owner, LIVES)
  redis.call('SET', alive, now, 'PX', LIVES)
  local left = redis.call('PTTL', lease)
  if left ~= -2 then
    -- If its holder is dead, somebody has to come when it has run out, whether or not Redis tells
    -- of that. A clock that was set back must not make it longer.
    if left == -1 or left > LEASE then
      left = LEASE
      redis.call('PEXPIRE', lease, left)
    end
    alarm(left + 100)
    return false
  end
  local token = unique()
  redis.call('SET', lease, token, 'PX', LEASE)
  return token
end
