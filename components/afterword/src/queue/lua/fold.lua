-- The list can only be refreshed as a whole: its task `list` takes over from these places, with
-- their newest version and the events that wait for them. So a list that fails backs off as one
-- task, whichever rows change.
function operations.fold(token, list, ...)
  if not holds_lease(token) then return end
  local newest, number, since
  for _, place in ipairs({...}) do
    local version = redis.call('HGET', versions, place)
    local own = version and tonumber(string.match(version, '^%d+') or nil)
    if own and (not number or own > number) then newest, number = version, own end
    local queued = tonumber(redis.call('HGET', queued_at, place) or nil)
    if queued and (not since or queued < since) then since = queued end
    local ids = redis.call('HGET', waiting, place)
    if ids then
      local others = redis.call('HGET', waiting, list)
      ids = others and string.sub(others, -MAX_WAITING) .. ' ' .. ids or ids
      redis.call('HSET', waiting, list, ids)
    end
    redis.call('ZREM', queue, place)
    for _, hash in ipairs({versions, queued_at, failures, errors, suspects, waiting}) do
      redis.call('HDEL', hash, place)
    end
  end
  enqueue(list, newest or unique())
  local queued = tonumber(redis.call('HGET', queued_at, list) or nil)
  if since and queued and since < queued then redis.call('HSET', queued_at, list, since) end
end

