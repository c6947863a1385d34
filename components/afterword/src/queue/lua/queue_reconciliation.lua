
-- Queues a reconciliation if the last one is `interval` milliseconds old or had another
-- configuration. Returns 1 if it did. While the circuit breaker is open, only another configuration
-- counts: it may be changed back before the origin recovers, and the entries stored meanwhile must
-- not be missed.
function operations.queue_reconciliation(token, interval, configuration)
  if not holds_lease(token) then return 0 end
  if redis.call('ZSCORE', queue, 'reconcile') then return 0 end
  local at, last = string.match(redis.call('GET', reconciled) or '', '^(%d+) (.*)$')
  at = tonumber(at)
  if at and last == configuration then
    local probe = next_probe()
    if probe and probe > now or at <= now and now < at + interval then return 0 end
  end
  enqueue({'reconcile'}, unique() .. '-worker')
  return 1
end
