
-- The events: the last invalidations, so that anybody can ask what became of an acknowledgement's
-- id. The hash `events` has for each id
--
--   id            the millisecond of its receipt, its source, the number of its tasks, the first tasks
--   id:left       the number of its tasks whose content is not in the store yet
--   id:fresh      the millisecond at which that number became 0
--   id:answered   the milliseconds from the receipt to the acknowledgement
--
-- Nothing depends on them, so the writes use `pcall` where a foreign value could fail.

-- The number of events that are shown, and of their tasks.
local MAX_EVENTS = 200
local MAX_EVENT_TASKS = 20

-- The last MAX_EVENTS ids of a text in `waiting`, or more, before a later id is added. Each byte of
-- a text costs. The ids are in their order, so none is longer than the later one.
local function cut(ids, id)
  return string.sub(ids, -(#id + 1) * MAX_EVENTS)
end

-- The ids of the events, oldest first, as numbers: those are sorted five times faster than texts.
local function event_ids()
  local ids = {}
  for _, field in ipairs(redis.call('HKEYS', events)) do
    if string.match(field, '^%d+$') then ids[#ids + 1] = tonumber(field) end
  end
  table.sort(ids)
  return ids
end
