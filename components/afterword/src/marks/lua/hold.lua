
-- The refresh of keys failed because the origin does, which is to be asked again after so many milliseconds: key, milliseconds of
-- its own pause, and so on. Returns 1, or 0 if the lease is another's by now.
-- The keys stay due, behind those that have not been tried, so that the next probe is another's. One for which the origin failed
-- before, and answered for others since, has a failure of its own: it backs off alone and holds up no other, but for SUSPECT
-- milliseconds at most: what looks like the origin's failure may pass like one.
function verbs.hold(token, why, setup, pause, ...)
  if redis.call('GET', lease) ~= token then return 0 end
  local keys = {...}
  for i = 1, #keys, 2 do
    local key = keys[i]
    redis.call('HINCRBY', failures, key, 1)
    redis.call('HSET', errors, key, why)
    if redis.call('HGET', suspects, key) == 'own' then
      redis.call('ZADD', due, 'XX', now + math.max(pause, math.min(keys[i + 1], SUSPECT)), key)
    else
      redis.call('HSET', suspects, key, 'held')
      redis.call('ZADD', due, 'XX', now + 1, key)
      redis.call('HSETNX', origin, 'since', now)
      local probe = tonumber(redis.call('HGET', origin, 'probe') or 0)
      redis.call('HSET', origin, 'probe', math.max(probe, now + pause), 'why', why, 'setup', setup)
    end
  end
  return 1
end
