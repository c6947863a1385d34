
-- A reconciliation that began so many milliseconds ago is done. Returns 1, or 0 if the lease is
-- another's by now.
function verbs.reconciled(token, began, configuration)
  if not holds(token) then return 0 end
  redis.call('SET', reconciled, string.format('%d %s', now - began, configuration))
  return 1
end
