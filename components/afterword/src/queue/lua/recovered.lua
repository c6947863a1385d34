
-- The circuit breaker closes when more tasks than this are allowed at once: a full batch.
local MAX_ALLOWED = 100

-- A request succeeded while the circuit breaker was not closed. Allows twice as many tasks as in
-- the last claim, because an origin that answers one request may not answer a hundred. Closes the
-- breaker when the next claim would exceed MAX_ALLOWED, or when the last claim held all due tasks.
-- Returns 1 if this closes the breaker, 0 if it stays open, -1 if it was closed before or the lease
-- is lost.
--
-- Tasks whose failures counted as the origin's become suspects: their next such failure is their
-- own.
function operations.recovered(token)
  if not holds_lease(token) or redis.call('EXISTS', breaker) == 0 then return -1 end
  set_origin_fails(false)
  if redis.call('HEXISTS', breaker, 'allowed') == 0 then
    local held = redis.call('HGETALL', suspects)
    for i = 1, #held, 2 do
      if held[i + 1] == 'held' then redis.call('HSET', suspects, held[i], 'own') end
    end
  end
  local allowed = 2 * tonumber(redis.call('HGET', breaker, 'given') or 1)
  if allowed > MAX_ALLOWED or redis.call('HGET', breaker, 'all') == '1' then
    redis.call('DEL', breaker)
    return 1
  end
  redis.call('HSET', breaker, 'allowed', allowed, 'probe', now)
  return 0
end
