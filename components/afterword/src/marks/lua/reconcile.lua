
-- Webhooks get lost: every so many milliseconds the stored items are compared with the list, and at
-- once if that was last done with another configuration. Returns 1 if that is due, having queued
-- it, else 0. While the origin may not be asked, only for another configuration: it may be changed
-- back before the origin answers, and what was stored meanwhile must not be forgotten.
function verbs.reconcile(token, every, configuration)
  if not holds(token) then return 0 end
  if redis.call('ZSCORE', due, 'reconcile') then return 0 end
  local at, done_with = string.match(redis.call('GET', reconciled) or '', '^(%d+) (.*)$')
  at = tonumber(at)
  if at and done_with == configuration then
    local probe = next_probe()
    if probe and probe > now or at <= now and now < at + every then return 0 end
  end
  changed('reconcile', unique() .. '-worker')
  return 1
end
