
-- The worker is still at it. Returns 1, or 0 if the lease is another's by now.
function verbs.renew(token, lasts)
  if redis.call('GET', lease) ~= token then return 0 end
  redis.call('PEXPIRE', lease, lasts)
  return 1
end
