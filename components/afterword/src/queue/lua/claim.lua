
-- The interval between probes while the circuit breaker is open.
local PROBE_INTERVAL = 5000

-- Returns the due tasks, longest due first: {now, probing, quota_wait, closed, task, version,
-- failures, suspect, queued_for, …}. `probing` is 1 unless the circuit breaker is closed. Returns
-- nil if the lease is lost.
--
-- `sent` is the number of requests since the last claim, `max_requests` their limit for an hour (0:
-- none). If it is reached, no task is returned, and `quota_wait` is the number of milliseconds
-- until the hour ends; else it is 0.
--
-- `full` is 1 if the store has no room for more keys, 0 if it has, and empty if that is unknown.
--
-- The versions are read before the worker fetches. A later change gives another version, so the
-- task stays queued (`complete.lua`).
--
-- While the circuit breaker is open, a claim returns one task once `probe` is reached, and sets
-- `probe` PROBE_INTERVAL ahead. The task's request is the probe; its outcome may change `probe`.
-- After a success, twice as many as in the last claim are returned. A breaker that another
-- configuration tripped says nothing about this one: it is closed, and `closed` is 1.
function operations.claim(token, limit, configuration, sent, max_requests, full)
  if not holds_lease(token) then return false end
  if full == '1' then redis.call('HSET', health, 'full_at', now)
  elseif full == '0' then redis.call('HDEL', health, 'full_at') end
  if max_requests == '0' then
    redis.call('DEL', requests)
  else
    redis.call('HINCRBY', requests, 'count', sent)
    redis.call('HSET', requests, 'max', max_requests)
    if redis.call('PTTL', requests) < 0 then redis.call('PEXPIRE', requests, HOUR) end
  end
  local closes = redis.call('EXISTS', breaker) == 1
    and redis.call('HGET', breaker, 'configuration') ~= configuration
  if closes then redis.call('DEL', breaker) end
  local probe = next_probe()
  local quota = quota_wait()
  local claimed = {now, probe and 1 or 0, quota, closes and 1 or 0}
  if quota > 0 or probe and now < probe then return claimed end
  limit = tonumber(limit)
  if probe then limit = math.min(limit, tonumber(redis.call('HGET', breaker, 'allowed') or 1)) end
  for _, task in ipairs(redis.call('ZRANGE', queue, FAR, '+inf', 'BYSCORE', 'LIMIT', 0, limit)) do
    redis.call('ZADD', queue, 'XX', now, task)
  end
  local last, count = nil, 0
  for _, task in ipairs(redis.call('ZRANGE', queue, '-inf', now, 'BYSCORE', 'LIMIT', 0, limit)) do
    append_claimed(claimed, task)
    last, count = task, count + 1
  end
  local claimed_to = last and count == limit and redis.call('ZSCORE', queue, last) or now
  redis.call('HSET', health, 'claimed_to', claimed_to)
  if probe and count > 0 then
    local all = count < limit and 1 or 0
    redis.call('HSET', breaker, 'probe', now + PROBE_INTERVAL, 'given', count, 'all', all)
  end
  return claimed
end
