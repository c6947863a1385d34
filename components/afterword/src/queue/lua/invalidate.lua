
-- About one event in this many removes the old ones, by the microsecond of its time.
local CLEANUP = 128

local function remove_old_events()
  local ids, fields = event_ids(), {}
  for i = 1, #ids - MAX_EVENTS do
    local id = string.format('%d', ids[i])
    append(fields, id, id .. ':left')
    append(fields, id .. ':fresh', id .. ':answered')
    if #fields >= 1000 or i == #ids - MAX_EVENTS then
      redis.call('HDEL', events, unpack(fields))
      fields = {}
    end
  end
end

-- Records an event that was received `ago` milliseconds ago, with the number of its version.
local function record_event(id, source, ago, tasks)
  local first = table.concat(tasks, ' ', 1, math.min(#tasks, MAX_EVENT_TASKS))
  local event = string.format('%d %s %d %s', now - ago, source, #tasks, first)
  redis.call('HSET', events, id, event, id .. ':left', #tasks)
  local ids = redis.call('HMGET', waiting, unpack(tasks))
  local waits = {}
  for i, task in ipairs(tasks) do
    append(waits, task, ids[i] and cut(ids[i], id) .. ' ' .. id or id)
  end
  redis.call('HSET', waiting, unpack(waits))
  if time[2] % CLEANUP == 0 then remove_old_events() end
end

-- A change was reported, `ago` milliseconds ago, by `source`: 'webhook', 'outbox' or 'status'.
-- Queues the tasks with one new version. Returns the version's number, which is the event's id, and
-- 1 if the caller has to wake a worker.
function operations.invalidate(source, ago, ...)
  local tasks = {...}
  local version = unique()
  local id = string.match(version, '^%d+')
  local at = enqueue(tasks, version)
  redis.call('SET', last_change, version)
  record_event(id, source, ago, tasks)
  wake(at)
  return {tonumber(id), caller_wakes}
end
