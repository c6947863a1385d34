-- The work queue in Redis: the keys, the constants and the functions that the operations share. The
-- operations follow, one file each, and then the call of the requested one. Redis runs scripts one
-- at a time, so every operation is atomic: a queued task always has a version, and no task can be
-- queued between a check and a deletion.
--
-- A task is a path to refresh, such as /articles/7; the place of a row in the list, such as
-- /articles#7; or `reconcile`, `related` or `purge` (`queue::Task`).
--
-- queue         sorted set: task -> the millisecond from which it is due
-- counter       string: the last number given to a version or a lease token
-- versions      hash: queued task -> its version (`unique`)
-- queued_at     hash: queued task -> the millisecond at which it was queued, or from which on it waits
--               for a second refresh
-- failures      hash: queued task -> its failures since it was last completed
-- errors        hash: queued task -> its last error
-- completed     sorted set: task -> the millisecond of its last completion, for a debounce window
-- lease         string: the token of the one worker that may write entries; expires
-- wake_pending  string: exists while a wake-up that reached a worker is under way; expires
-- alarm         string: its expiry wakes a worker
-- alive         string: the millisecond of a worker's last sign of life; expires
-- breaker       hash: the circuit breaker; missing while it is closed
--                 probe          the millisecond at which the origin may get the next request
--                 trips          the number of trips in a row
--                 given          the number of tasks in the last claim
--                 all            1 if that claim contained all due tasks
--                 allowed        after a success: the number of tasks for the next claim
--                 opened_at      the millisecond at which it tripped first
--                 why            the last error
--                 configuration  a digest of the configuration that failed
-- suspects      hash: task -> 'held' while its failure counts as the origin's,
--               'own' once the origin has answered other requests since
-- reconciled    string: the millisecond of the last reconciliation, a digest of its configuration
-- fetch_locks   hash: slot -> the lock or the remembered error of a missing key (`fetch_lock.lua`):
--               the millisecond at which it expires, the status, the key
-- owner         hash: the application that uses this prefix (`store`, `origin`); expires
-- next_wake     string: exists while an instance of refresh-http waits to wake a worker; expires
--               when it does
-- requests      hash: the HTTP requests of this hour; missing without a limit; expires
--                 count          the number of requests that were sent
--                 max            the limit (`max_requests_per_hour`)
-- metrics       hash: the counters of `afterword::metrics`, and those of this script:
--                 refresh_ms:N   the refreshes of at most N ms, and more than the bucket before
--                 refresh_ms:sum their milliseconds
--                 retries, breaker_trips, reconciliations, reconciled_outdated
-- events        hash: the last invalidations (`events.lua`)
-- waiting       hash: task -> the ids of the events that wait for it, oldest first
-- lag           hash: minute since 1970 -> the most milliseconds that a task completed in it had waited
-- health        hash: what the parts did last
--                 worker_at      the millisecond of a worker's last sign of life
--                 worker_since   the first one after a gap of ALIVE_TTL
--                 expired_at     the millisecond of the last wake-up by an expired key
--                 expired_since  the first one after a gap of ALIVE_TTL
--                 origin_since   since when the origin has not failed; missing while it does
--                 full_at        when a worker last found the store full; missing if it was not
--                 claimed_to     the millisecond up to which due tasks were claimed
--                 reconciled_at, reconciled_ms, entries, bytes, outdated, evicted
--                                the last reconciliation
-- last_change   string: the version of the last change that was reported
-- channel       not a key: the channel that wakes a worker; the prefix alone if the callers wake it
--
-- `script.rs` puts a line before this file that unpacks the keys of the script.

-- All durations are in milliseconds.

-- The debounce window: repeated invalidations of a task cost two refreshes a second. All tasks
-- share the same windows, so that waiting tasks become due together and share a request.
local DEBOUNCE_WINDOW = 500

-- The longest delay of anything: a back-off, a pause of the circuit breaker, `replica_lag`.
local MAX_DELAY = 300000

-- The lease's time to live: a crashed worker blocks the next one for at most this long.
local LEASE_TTL = 15000

-- The longest time without a wake-up.
local MAX_ALARM = 60000

-- Every queued task sets an alarm of at most this long, in case its wake-up gets lost.
local SAFETY_ALARM = 2000

-- The period of the limit of requests.
local HOUR = 3600000

-- Redis's clock, because the clocks of the replicas differ. A failover may set it back: a time
-- beyond FAR is further ahead than any delay, and counts as now.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local FAR = now + MAX_DELAY + 1000

local function append(list, first, second)
  list[#list + 1] = first
  list[#list + 1] = second
end

-- A text that was never returned before: an increasing number and a microsecond. A failover may
-- lose the last numbers; the microsecond still tells two texts with one number apart.
local function unique()
  return string.format('%d-%d%06d', redis.call('INCR', counter), time[1], time[2])
end

-- The start of the debounce window that follows a millisecond.
local function next_window(after)
  return (math.floor(after / DEBOUNCE_WINDOW) + 1) * DEBOUNCE_WINDOW
end

-- The millisecond at which a task becomes due if it is queued now and was last completed then.
local function due_at(completed_at)
  completed_at = tonumber(completed_at or nil)
  if not completed_at or completed_at > now then return now end
  return math.max(now, next_window(completed_at))
end

-- Queues tasks with a new version. A worker that has claimed a task finds another version at its
-- completion and leaves the task queued. A task that backs off keeps its time; one that waits for
-- the replicas does not. Returns the earliest millisecond at which one of the tasks is due.
local function enqueue(tasks, version)
  local backs_off = redis.call('HMGET', failures, unpack(tasks))
  local completed_at = redis.call('ZMSCORE', completed, unpack(tasks))
  local since = redis.call('HMGET', queued_at, unpack(tasks))
  local its_version, new, times, kept_times = {}, {}, {}, {}
  local earliest = math.huge
  for i, task in ipairs(tasks) do
    append(its_version, task, version)
    if not since[i] then append(new, task, now) end
    local at = due_at(completed_at[i])
    if backs_off[i] then
      append(kept_times, at, task)
    else
      append(times, at, task)
      earliest = math.min(earliest, at)
    end
  end
  redis.call('HSET', versions, unpack(its_version))
  if #new > 0 then redis.call('HSET', queued_at, unpack(new)) end
  if #times > 0 then redis.call('ZADD', queue, 'LT', unpack(times)) end
  if #kept_times > 0 then
    redis.call('ZADD', queue, 'NX', unpack(kept_times))
    for i = 2, #kept_times, 2 do
      earliest = math.min(earliest, tonumber(redis.call('ZSCORE', queue, kept_times[i])))
    end
  end
  return earliest
end

-- Makes sure that a worker is woken within this many milliseconds, or within MAX_ALARM. `left` is
-- the alarm's remaining time, if it is known.
local function set_alarm(milliseconds, left)
  milliseconds = math.min(milliseconds, MAX_ALARM)
  left = left or redis.call('PTTL', alarm)
  if left < 0 or left > milliseconds then
    redis.call('SET', alarm, 1, 'PX', math.max(1, math.ceil(milliseconds)))
  end
end

-- The millisecond at which the origin may get the next request; nil while the circuit breaker is
-- closed.
local function next_probe()
  local probe = tonumber(redis.call('HGET', breaker, 'probe') or nil)
  return probe and (probe > FAR and now or probe)
end

-- Counts HTTP requests, if their number is limited. `pcall`, because a caller without memory for
-- this write must go on.
local function count_requests(count)
  if redis.call('EXISTS', requests) == 1 then
    redis.pcall('HINCRBY', requests, 'count', count)
  end
end

-- The milliseconds until the hour ends whose requests are used up; 0 if requests are left.
local function quota_wait()
  local count, max = unpack(redis.call('HMGET', requests, 'count', 'max'))
  if not max or tonumber(count or 0) < tonumber(max) then return 0 end
  return math.max(0, math.min(HOUR, redis.call('PTTL', requests)))
end

-- The milliseconds until a worker may send the next request to the origin.
local function request_wait()
  return math.max(0, (next_probe() or 0) - now, quota_wait())
end

-- Whether the caller has to wake a worker (`afterword::wake`): there is no channel, because the
-- host has no Redis trigger.
local caller_wakes = 0
local has_channel = string.sub(channel, -1) ~= ':'

-- Wakes a worker; returns the number of subscribers that got the wake-up. `pcall`, because a user
-- without the right to publish must still be able to queue: the alarm wakes the worker SAFETY_ALARM
-- later.
local function publish()
  if not has_channel then
    redis.pcall('SET', wake_pending, 1, 'PX', 1000)
    caller_wakes = 1
    count_requests(1)
    return 1
  end
  local reached = redis.pcall('PUBLISH', channel, 'wake')
  if type(reached) ~= 'number' or reached == 0 then return 0 end
  redis.pcall('SET', wake_pending, 1, 'PX', 1000)
  return reached
end

-- Wakes a worker if `at`, the millisecond at which a task is due, has come or will soon. Does not
-- publish if a worker holds the lease (it looks again before it releases the lease) or if a wake-up
-- is pending. While the worker may send no request, the alarm suffices.
local function wake(at)
  if at > now + DEBOUNCE_WINDOW and at <= FAR then return end
  local is_woken = redis.call('EXISTS', lease, wake_pending) > 0
  local left = redis.call('PTTL', alarm)
  if is_woken and left >= 0 and left <= SAFETY_ALARM then return end
  local wait = request_wait()
  set_alarm(wait > 0 and wait or SAFETY_ALARM, left)
  if wait == 0 and not is_woken then publish() end
end

-- The operations by name. Each gets the arguments that follow its name.
local operations = {}
