
-- A worker asks for the lease. Returns its token; nil if another worker holds it; or {origin, ms}
-- if another application uses this prefix, for `ms` milliseconds more. Two applications would
-- complete each other's tasks with their own content.
--
-- An application is known by its key-value store, which stays the same when the configuration
-- changes, and by its origin, which stays the same when the store is emptied.
--
-- `expired` is 1 if Redis's report of an expired key woke the worker.
function operations.acquire(store, origin, expired)
  -- The caller has been woken, so the next task may wake a worker again.
  redis.call('DEL', wake_pending)
  local its_store, its_origin = unpack(redis.call('HMGET', owner, 'store', 'origin'))
  local ttl = redis.call('PTTL', owner)
  local is_alive = ttl >= 0 and ttl <= ALIVE_TTL
  if its_store and its_store ~= store and its_origin ~= origin and is_alive then
    return {its_origin, ttl}
  end
  redis.call('HSET', owner, 'store', store ~= '' and store or its_store or '', 'origin', origin)
  redis.call('PEXPIRE', owner, ALIVE_TTL)
  redis.call('SET', alive, now, 'PX', ALIVE_TTL)
  sign_of_life('worker')
  if expired == '1' then sign_of_life('expired') end
  local left = redis.call('PTTL', lease)
  if left ~= -2 then
    -- A clock that was set back must not prolong the lease.
    if left == -1 or left > LEASE_TTL then
      left = LEASE_TTL
      redis.call('PEXPIRE', lease, left)
    end
    -- If the holder is dead, a worker must come after the expiry, whether Redis reports it or not.
    set_alarm(left + 100)
    return false
  end
  local token = unique()
  redis.call('SET', lease, token, 'PX', LEASE_TTL)
  return token
end
