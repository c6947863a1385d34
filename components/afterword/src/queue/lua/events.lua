
-- The events: the last invalidations, so that anybody can ask what became of an acknowledgement's
-- id. The hash `events` has for each id
--
--   id            the millisecond of its receipt, its source, the number of its tasks, the first tasks
--   id:left       the number of its tasks whose content is not in the store yet
--   id:fresh      the millisecond at which that number became 0
--   id:answered   the milliseconds from the receipt to the acknowledgement
--
-- and `count`, the number of ids. Nothing depends on them, so the writes use `pcall` where a
-- foreign value could fail.

-- The number of events that are shown, and of their tasks.
local MAX_EVENTS = 200
local MAX_EVENT_TASKS = 20

-- Old events are removed when there are this many.
local TOO_MANY_EVENTS = 2 * MAX_EVENTS

-- A task's ids in `waiting` are cut to this many bytes: more than MAX_EVENTS ids.
local MAX_WAITING = 17 * MAX_EVENTS

-- The ids of the events, newest first.
local function event_ids()
  local ids = {}
  local fields = redis.call('HGETALL', events)
  for i = 1, #fields, 2 do
    if string.match(fields[i], '^%d+$') then ids[#ids + 1] = fields[i] end
  end
  table.sort(ids, function(a, b) return tonumber(a) > tonumber(b) end)
  return ids
end

local function remove_old_events()
  local ids = event_ids()
  for i = MAX_EVENTS + 1, #ids do
    local id = ids[i]
    redis.call('HDEL', events, id, id .. ':left', id .. ':fresh', id .. ':answered')
  end
  redis.call('HSET', events, 'count', math.min(#ids, MAX_EVENTS))
end

-- Records an event that was received `ago` milliseconds ago, with the number of its version.
local function record_event(id, source, ago, tasks)
  local first = table.concat(tasks, ' ', 1, math.min(#tasks, MAX_EVENT_TASKS))
  local event = string.format('%d %s %d %s', now - ago, source, #tasks, first)
  redis.call('HSET', events, id, event, id .. ':left', #tasks)
  for _, task in ipairs(tasks) do
    local ids = redis.call('HGET', waiting, task)
    ids = ids and string.sub(ids, -MAX_WAITING) .. ' ' .. id or id
    redis.call('HSET', waiting, task, ids)
  end
  local count = redis.pcall('HINCRBY', events, 'count', 1)
  if type(count) ~= 'number' or count >= TOO_MANY_EVENTS then remove_old_events() end
end

-- The store holds content of this task that was fetched after the event with the id `last`; nil
-- stands for all events.
local function settle_events(task, last)
  local ids = redis.call('HGET', waiting, task)
  if not ids then return end
  local later = {}
  for id in string.gmatch(ids, '%d+') do
    if last and tonumber(id) > last then
      later[#later + 1] = id
    else
      local left = redis.pcall('HINCRBY', events, id .. ':left', -1)
      if left == 0 then redis.call('HSET', events, id .. ':fresh', now) end
      -- An event that was removed has no number, and counts from 0.
      if type(left) ~= 'number' or left <= 0 then redis.call('HDEL', events, id .. ':left') end
    end
  end
  if #later == 0 then redis.call('HDEL', waiting, task)
  else redis.call('HSET', waiting, task, table.concat(later, ' ')) end
end

-- The task `to` takes over from the task `from`. An event that waits for both waits once.
local function move_events(from, to)
  local ids = redis.call('HGET', waiting, from)
  if not ids then return end
  local merged = redis.call('HGET', waiting, to) or ''
  for id in string.gmatch(ids, '%d+') do
    if not string.find(' ' .. merged .. ' ', ' ' .. id .. ' ', 1, true) then
      merged = merged == '' and id or string.sub(merged, -MAX_WAITING) .. ' ' .. id
    elseif redis.call('HEXISTS', events, id) == 1 then
      redis.pcall('HINCRBY', events, id .. ':left', -1)
    end
  end
  redis.call('HSET', waiting, to, merged)
  redis.call('HDEL', waiting, from)
end

-- An event for the status page; nil if it is unknown. `state` is 'queued', 'claimed', 'fresh' or
-- 'failing', with the error of one of its tasks.
local function event(id)
  local text, left, fresh, answered = unpack(redis.call('HMGET', events,
    id, id .. ':left', id .. ':fresh', id .. ':answered'))
  if not text then return nil end
  local received, source, count, first = string.match(text, '^(%d+) (%w+) (%d+) (.*)$')
  if not received then return nil end
  local state, failure = 'queued', nil
  local claimed_to = tonumber(redis.call('HGET', health, 'claimed_to') or nil) or 0
  local is_claimed = redis.call('EXISTS', lease) == 1
  local tasks = {}
  local function waits(task)
    local ids = ' ' .. (redis.call('HGET', waiting, task) or '') .. ' '
    return string.find(ids, ' ' .. id .. ' ', 1, true)
  end
  for task in string.gmatch(first, '[^ ]+') do
    tasks[#tasks + 1] = task
    -- The list may have taken over from its place (`fold.lua`).
    local list = string.match(task, '^(.*)#')
    if list and not waits(task) then task = list end
    if left and waits(task) then
      local at = tonumber(redis.call('ZSCORE', queue, task) or nil)
      if state == 'queued' and at and is_claimed and at <= claimed_to then state = 'claimed' end
      if redis.call('HEXISTS', failures, task) == 1 then
        state, failure = 'failing', redis.call('HGET', errors, task) or ''
      end
    end
  end
  if fresh then state = 'fresh' end
  return {
    id = id, received = received, source = source, count = count, tasks = tasks, state = state,
    failure = failure, fresh = fresh or nil, answered = answered or nil,
  }
end
