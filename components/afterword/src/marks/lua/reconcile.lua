
-- Webhooks get lost: every so many milliseconds the list is refetched all the same, and the stored items are held against it.
-- Returns 1 if that is due, having marked the list, else 0.
function verbs.reconcile(token, every, list)
  if redis.call('GET', lease) ~= token then return 0 end
  if now < tonumber(redis.call('GET', reconciled) or 0) + every then return 0 end
  changed(list, redis.call('INCR', counter))
  return 1
end
