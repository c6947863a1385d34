
-- Returns the due tasks, longest due first: {now, probing, task, version, failures, suspect,
-- queued_for, …}. `probing` is 1 unless the circuit breaker is closed, `suspect` is 1 for a suspect
-- (`trip.lua`), `queued_for` is in milliseconds. Returns nil if the lease is lost.
--
-- The versions are read before the worker fetches. A later change gives another version, so the
-- task stays queued (`complete.lua`).
--
-- While the circuit breaker is open, a claim returns one task once `probe` is reached, and sets
-- `probe` PROBE_INTERVAL ahead. The task's request is the probe; its outcome may change `probe`.
-- After a success, twice as many as in the last claim are returned. A breaker that another
-- configuration tripped says nothing about this one, and is closed.
function operations.claim(token, limit, configuration)
  if not holds_lease(token) then return false end
  if redis.call('EXISTS', breaker) == 1
      and redis.call('HGET', breaker, 'configuration') ~= configuration then
    redis.call('DEL', breaker)
  end
  local probe = next_probe()
  if probe and now < probe then return {now, 1} end
  if probe then limit = math.min(limit, tonumber(redis.call('HGET', breaker, 'allowed') or 1)) end
  for _, task in ipairs(redis.call('ZRANGE', queue, FAR, '+inf', 'BYSCORE', 'LIMIT', 0, limit)) do
    redis.call('ZADD', queue, 'XX', now, task)
  end
  local claimed = {now, probe and 1 or 0}
  for _, task in ipairs(redis.call('ZRANGE', queue, '-inf', now, 'BYSCORE', 'LIMIT', 0, limit)) do
    claimed[#claimed + 1] = task
    claimed[#claimed + 1] = redis.call('HGET', versions, task) or ''
    claimed[#claimed + 1] = tonumber(redis.call('HGET', failures, task) or 0)
    claimed[#claimed + 1] = redis.call('HGET', suspects, task) == 'own' and 1 or 0
    local since = tonumber(redis.call('HGET', queued_at, task) or now)
    claimed[#claimed + 1] = math.max(0, now - since)
  end
  if probe and #claimed > 2 then
    local given = (#claimed - 2) / 5
    local all = given < limit and 1 or 0
    redis.call('HSET', breaker, 'probe', now + PROBE_INTERVAL, 'given', given, 'all', all)
  end
  return claimed
end
