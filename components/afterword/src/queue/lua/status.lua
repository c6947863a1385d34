
-- The state for the status page, as JSON. Strings and numbers come as they are in Redis, and the
-- component checks them.

-- The number of tasks whose state is counted one by one. Further tasks count as due or waiting.
local MAX_COUNTED = 10000

-- The number of tasks that are listed.
local MAX_LISTED = 100

local function hash(key)
  local fields = redis.call('HGETALL', key)
  local map = {}
  for i = 1, #fields, 2 do map[fields[i]] = fields[i + 1] end
  return map
end

-- The queued tasks: their number in each state, the longest time that one has been queued, and the
-- tasks that have been queued longest.
local function queued_tasks()
  local failed = hash(failures)
  local suspected = hash(suspects)
  local claimed_to = tonumber(redis.call('HGET', health, 'claimed_to') or nil) or 0
  if redis.call('EXISTS', lease) == 0 then claimed_to = 0 end
  local counts = {due = 0, claimed = 0, waiting = 0, backing_off = 0, suspects = 0}
  local tasks = {}
  local scores = redis.call('ZRANGE', queue, 0, MAX_COUNTED - 1, 'WITHSCORES')
  for i = 1, #scores, 2 do
    local name, at = scores[i], tonumber(scores[i + 1])
    if at > FAR then at = now end
    local state = 'due'
    if at > now then state = failed[name] and 'backing_off' or 'waiting'
    elseif at <= claimed_to then state = 'claimed' end
    counts[state] = counts[state] + 1
    if suspected[name] == 'own' then counts.suspects = counts.suspects + 1 end
    local since = tonumber(redis.call('HGET', queued_at, name) or nil) or now
    tasks[#tasks + 1] = {
      name = name, state = state, suspect = suspected[name] == 'own', at = at,
      queued = math.max(0, now - since), failures = failed[name],
    }
  end
  local total = redis.call('ZCOUNT', queue, '-inf', '+inf')
  local due = redis.call('ZCOUNT', queue, '-inf', now)
  counts.due = math.max(counts.due, due - counts.claimed)
  counts.waiting = math.max(counts.waiting, total - due - counts.backing_off)
  counts.total = total
  counts.paused = quota_wait()
  table.sort(tasks, function(a, b)
    if a.queued == b.queued then return a.name < b.name end
    return a.queued > b.queued
  end)
  local listed = {}
  for i = 1, math.min(#tasks, MAX_LISTED) do
    listed[i] = tasks[i]
    listed[i].failure = redis.call('HGET', errors, tasks[i].name) or nil
  end
  return counts, tasks[1] and tasks[1].queued or 0, listed
end

-- An event for the status page; nil if it is unknown, or so old that `cut` has dropped its id.
-- `state` is 'queued', 'claimed', 'fresh' or 'failing', with the error of one of its tasks.
local function event(id)
  local text, left, fresh, answered = unpack(redis.call('HMGET', events,
    id, id .. ':left', id .. ':fresh', id .. ':answered'))
  if not text then return nil end
  local received, source, count, first = string.match(text, '^(%d+) (%w+) (%d+) (.*)$')
  if not received then return nil end
  local state, failure = 'queued', nil
  local claimed_to = tonumber(redis.call('HGET', health, 'claimed_to') or nil) or 0
  local is_claimed = redis.call('EXISTS', lease) == 1
  local tasks, is_waiting = {}, false
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
      is_waiting = true
      local at = tonumber(redis.call('ZSCORE', queue, task) or nil)
      if state == 'queued' and at and is_claimed and at <= claimed_to then state = 'claimed' end
      if redis.call('HEXISTS', failures, task) == 1 then
        state, failure = 'failing', redis.call('HGET', errors, task) or ''
      end
    end
  end
  if left and not is_waiting and tonumber(count) <= MAX_EVENT_TASKS then return nil end
  if fresh then state = 'fresh' end
  return {
    id = id, received = received, source = source, count = count, tasks = tasks, state = state,
    failure = failure, fresh = fresh or nil, answered = answered or nil,
  }
end

-- The seconds since Redis's start; nil if the user may not ask.
local function uptime()
  local info = redis.pcall('INFO', 'server')
  return type(info) == 'string' and tonumber(string.match(info, 'uptime_in_seconds:(%d+)')) or nil
end

function operations.status()
  local counts, oldest, listed = queued_tasks()
  local last = {}
  local ids = event_ids()
  for i = #ids, math.max(1, #ids - MAX_EVENTS + 1), -1 do
    last[#last + 1] = event(string.format('%d', ids[i]))
  end
  return cjson.encode({
    now = now, counts = counts, lag = oldest, tasks = listed, events = last, minutes = hash(lag),
    breaker = hash(breaker), health = hash(health), alive = redis.call('EXISTS', alive),
    uptime = uptime(),
  })
end

-- The same without what only people need.
function operations.metrics()
  local counts, oldest = queued_tasks()
  return cjson.encode({
    now = now, counts = counts, lag = oldest, breaker = hash(breaker), health = hash(health),
    alive = redis.call('EXISTS', alive), metrics = hash(metrics),
  })
end

-- What became of an acknowledgement; nil if its id is unknown.
function operations.event(id)
  local known = event(id)
  return known and cjson.encode({now = now, events = {known}})
end
