
-- A request succeeded while the circuit breaker was not closed. Lets twice as many tasks through as
-- were given out last, and closes it after a full batch, or when no more were due: an origin that
-- answers one request does not yet answer a hundred. Returns 1 if it is closed now. From now on,
-- the tasks that were held are suspects: the next such failure of one is its own.
function verbs.recovered(token)
  if not holds(token) or redis.call('EXISTS', origin) == 0 then return 1 end
  if redis.call('HEXISTS', origin, 'allowed') == 0 then
    local held = redis.call('HGETALL', suspects)
    for i = 1, #held, 2 do
      if held[i + 1] == 'held' then redis.call('HSET', suspects, held[i], 'own') end
    end
  end
  local allowed = 2 * tonumber(redis.call('HGET', origin, 'given') or 1)
  if allowed > RAMP or redis.call('HGET', origin, 'all') == '1' then
    redis.call('DEL', origin)
    return 1
  end
  redis.call('HSET', origin, 'allowed', allowed, 'probe', now)
  return 0
end
