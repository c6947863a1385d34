
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

-- The millisecond of the change that got this version; nil for a version from a reader or a worker.
local function changed_at(version)
  local micros = string.match(version, '^%d+%-(%d+)$')
  return micros and math.floor(tonumber(micros) / 1000)
end

-- The upper bounds of the histogram of refreshes, in milliseconds.
local BUCKETS = {50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000}

-- The number of minutes in `lag`.
local LAG_MINUTES = 60

-- Counts the time from the queueing of a task to its completion.
local function observe_refresh(task)
  local since = tonumber(redis.call('HGET', queued_at, task) or nil)
  if not since or since > now then return end
  local took = now - since
  local bucket = 'inf'
  for _, bound in ipairs(BUCKETS) do
    if took <= bound then
      bucket = bound
      break
    end
  end
  redis.pcall('HINCRBY', metrics, 'refresh_ms:' .. bucket, 1)
  redis.pcall('HINCRBY', metrics, 'refresh_ms:sum', took)
  local minute = math.floor(now / 60000)
  local most = tonumber(redis.call('HGET', lag, minute) or nil)
  if most and took <= most then return end
  redis.call('HSET', lag, minute, took)
  if most then return end
  local fields = redis.call('HGETALL', lag)
  for i = 1, #fields, 2 do
    local other = tonumber(fields[i])
    if not other or other <= minute - LAG_MINUTES or other > minute then
      redis.call('HDEL', lag, fields[i])
    end
  end
end

-- The store holds content of this task that was fetched after its claim.
local function complete(task, version, claimed_at, replica_lag)
  redis.call('HDEL', failures, task)
  redis.call('HDEL', errors, task)
  redis.call('HDEL', suspects, task)
  redis.call('ZADD', completed, now, task)
  observe_refresh(task)
  local current = redis.call('HGET', versions, task)
  if current and current ~= version then
    settle_events(task, tonumber(string.match(version, '^%d+') or 0))
    redis.call('HSET', queued_at, task, now)
    redis.call('ZADD', queue, next_window(now), task)
    return 'again'
  end
  local changed = current and tonumber(replica_lag) > 0 and changed_at(current)
  if changed and changed <= now and tonumber(claimed_at) < changed + replica_lag then
    -- Until then, the task is not behind.
    redis.call('HSET', queued_at, task, changed + replica_lag)
    redis.call('ZADD', queue, changed + replica_lag, task)
    return 'lagging'
  end
  settle_events(task)
  redis.call('ZREM', queue, task)
  redis.call('HDEL', versions, task)
  redis.call('HDEL', queued_at, task)
  return 'completed'
end

-- The store holds content of these tasks (task, version, claimed_at, …) that was fetched after each
-- was claimed at millisecond `claimed_at`. Returns for each
--   'completed'  the task is removed from the queue
--   'again'      the task has another version: it was invalidated meanwhile, and stays queued for
--                the next debounce window
--   'lagging'    the origin's replicas may not have had the change yet: the task stays queued until
--                `replica_lag` milliseconds after the change
--   'lost'       the lease is lost: the task is queued again
-- A task without a version is completed: the version was evicted, or a
-- program other than Afterword queued the task.
function operations.complete(token, replica_lag, ...)
  local tasks, outcomes = {...}, {}
  local holds = holds_lease(token)
  if holds then redis.call('ZREMRANGEBYSCORE', completed, '-inf', now - DEBOUNCE_WINDOW) end
  for i = 1, #tasks, 3 do
    if holds then
      outcomes[#outcomes + 1] = complete(tasks[i], tasks[i + 1], tasks[i + 2], replica_lag)
    else
      requeue_without_lease(tasks[i])
      outcomes[#outcomes + 1] = 'lost'
    end
  end
  return outcomes
end

