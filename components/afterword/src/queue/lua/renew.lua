
-- Renews the lease and gives a sign of life. Returns 1, or 0 if the lease is lost.
function operations.renew(token)
  if not holds_lease(token) then return 0 end
  redis.call('SET', alive, now, 'PX', ALIVE_TTL)
  sign_of_life('worker')
  redis.call('PEXPIRE', owner, ALIVE_TTL)
  return 1
end
