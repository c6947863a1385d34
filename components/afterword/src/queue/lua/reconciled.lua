
-- A reconciliation that began `ago` milliseconds ago is done. Returns 1, or 0 if the
-- lease is lost.
function operations.reconciled(token, ago, configuration)
  if not holds_lease(token) then return 0 end
  redis.call('SET', reconciled, string.format('%d %s', now - ago, configuration))
  return 1
end
