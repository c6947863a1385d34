
-- A reconciliation that began `ago` milliseconds ago is done: it found `entries` stored entries of
-- `bytes` bytes, queued the `outdated` ones, and removed the `evicted` ones. Returns 1, or 0 if the
-- lease is lost.
function operations.reconciled(token, ago, configuration, entries, bytes, outdated, evicted)
  if not holds_lease(token) then return 0 end
  redis.call('HSET', health, 'reconciled_at', now, 'reconciled_ms', ago, 'entries', entries,
    'bytes', bytes, 'outdated', outdated, 'evicted', evicted)
  if redis.call('EXISTS', breaker) == 0 then set_origin_fails(false) end
  redis.pcall('HINCRBY', metrics, 'reconciliations', 1)
  redis.pcall('HINCRBY', metrics, 'reconciled_outdated', outdated)
  redis.call('SET', reconciled, string.format('%d %s', now - ago, configuration))
  return 1
end
