
-- A reconciliation that began so many milliseconds ago is done. Returns 1, or 0 if the lease is another's by now.
function verbs.reconciled(token, began)
  if redis.call('GET', lease) ~= token then return 0 end
  redis.call('SET', reconciled, now - began)
  return 1
end
