
-- The worker is still at it. Returns 1, or 0 if the lease is another's by now.
function verbs.renew(token)
  if not holds(token) then return 0 end
  redis.call('SET', alive, now, 'PX', LIVES)
  redis.call('PEXPIRE', owner, LIVES)
  return 1
end
