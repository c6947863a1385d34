
-- The task `list` takes over the events that wait for these places. An event that waits for several
-- of them waits once.
local function move_events(places, list)
  local ids, waits = {}, {}
  local function collect(task)
    for id in string.gmatch(redis.call('HGET', waiting, task) or '', '%d+') do
      if not waits[id] then
        waits[id] = true
        ids[#ids + 1] = tonumber(id)
      elseif redis.call('HEXISTS', events, id) == 1 then
        redis.pcall('HINCRBY', events, id .. ':left', -1)
      end
    end
  end
  collect(list)
  for _, place in ipairs(places) do
    collect(place)
    redis.call('HDEL', waiting, place)
  end
  if #ids == 0 then return end
  table.sort(ids)
  local last = {}
  for i = math.max(1, #ids - MAX_EVENTS + 1), #ids do
    last[#last + 1] = string.format('%d', ids[i])
  end
  redis.call('HSET', waiting, list, table.concat(last, ' '))
end

-- The number of queued tasks that are searched for places.
local MAX_FOLDED = 1000

-- The list can only be refreshed as a whole: its task `list` takes over from these places, and from
-- those among the first MAX_FOLDED of the queue, with their newest version and the events that wait
-- for them. So a list that fails backs off as one task, whichever rows change, and costs one probe
-- of the circuit breaker.
--
-- If the list is due, the worker may go on with it at once, as if it had claimed it instead of the
-- places: returns {now, task, version, failures, suspect, queued_for}, as `claim.lua` does.
function operations.fold(token, list, ...)
  if not holds_lease(token) then return end
  local newest, number, since
  local function add(task)
    local version = redis.call('HGET', versions, task)
    local own = version and tonumber(string.match(version, '^%d+') or nil)
    if own and (not number or own > number) then newest, number = version, own end
    local queued = tonumber(redis.call('HGET', queued_at, task) or nil)
    if queued and (not since or queued < since) then since = queued end
  end
  add(list)
  local places = {...}
  for _, task in ipairs(redis.call('ZRANGE', queue, 0, MAX_FOLDED - 1)) do
    if string.sub(task, 1, #list + 1) == list .. '#' then places[#places + 1] = task end
  end
  for _, place in ipairs(places) do
    add(place)
    redis.call('ZREM', queue, place)
    for _, hash in ipairs({versions, queued_at, failures, errors, suspects}) do
      redis.call('HDEL', hash, place)
    end
  end
  move_events(places, list)
  enqueue({list}, newest or unique())
  if since then redis.call('HSET', queued_at, list, since) end
  local claimed = {now}
  if tonumber(redis.call('ZSCORE', queue, list)) <= now then append_claimed(claimed, list) end
  return claimed
end

