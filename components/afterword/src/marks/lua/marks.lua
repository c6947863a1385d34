-- The work queue in Redis: what all verbs share. The verbs follow, a file each, and then the call
-- of the one that is asked for. Redis runs a script alone, so whatever a verb does is atomic:
-- nobody sees a queued task without its version, and no task slips in between a look and a
-- deletion.
--
-- A task is a path to refresh, such as /articles/7, or `reconcile` or `related` (`marks::Task`).
--
-- due        sorted set: task -> the millisecond from which it is due
-- counter    the last number given out, for versions and lease tokens alike
-- sequences  hash: queued task -> its version (`unique`)
-- since      hash: queued task -> the millisecond in which it was queued
-- failures   hash: queued task -> how often it has failed since it was last completed
-- errors     hash: queued task -> why it failed last
-- refreshed  sorted set: task -> the millisecond of its last completion, for a debounce window
-- lease      string: the token of the one worker that may write entries; expires
-- waking     string: set while a wake-up that reached a worker is under way; expires
-- timer      string: its expiry wakes a worker: an alarm clock
-- alive      string: the millisecond of a worker's last sign of life; expires
-- origin     hash: the circuit breaker, while it is not closed
--              probe    the millisecond of the next request that the origin may be sent
--              trips    how often the breaker tripped in a row
--              given    how many tasks were claimed last
--              all      1 if no more tasks than these were due
--              allowed  after a success: how many tasks may be claimed next
--              since    the millisecond in which it opened
--              why      why the last request failed
--              setup    a digest of the configuration that it is about
-- suspects   hash: task -> 'held' while its failure counts as the origin's;
--            'own' once the origin has answered others since
-- reconciled string: the millisecond of the last reconciliation, and a digest of its configuration
-- misses     hash: slot -> what is known of a key that readers miss (`miss`):
--            until which millisecond, the status, the key
-- owner      hash: the application that uses this prefix: `store` and `origin`; expires
-- channel    not a key: the channel that wakes a worker
local due, counter, sequences, since, failures, errors, refreshed, lease, waking, timer, alive,
  origin, suspects, reconciled, misses, owner, channel = unpack(KEYS)

-- The debounce window, in milliseconds: a burst of changes costs two refreshes a second. Windows
-- are the ticks of a common clock: tasks that wait become due together, and share a request.
local WINDOW = 500

-- While the origin fails, it is sent one request in so many milliseconds.
local PROBE = 5000

-- The circuit breaker closes when more tasks than this have been allowed at once: a full batch.
local RAMP = 100

-- A suspect is tried again after so many milliseconds at the latest: what looks like the origin's
-- failure may pass like one.
local SUSPECT = 8000

-- After so many failures it does not look passing any more: a suspect backs off like any other.
local PASSING = 6

-- The longest that anything is put off, in milliseconds: a back-off, a pause of the circuit
-- breaker, `replica_lag`.
local LONGEST = 300000

-- The lease's time to live, in milliseconds: a crashed worker holds up the next for so long.
local LEASE = 15000

-- A worker that gave no sign of life for so many milliseconds is gone, and so is an application.
local LIVES = 150000

-- A worker is woken after so many milliseconds at the latest.
local HEARTBEAT = 60000

-- A queued task leaves an alarm of at most this many milliseconds behind.
local SAFETY = 2000

-- The first hexadecimal digits of a key's SHA-1 are its slot among the misses: there are 4,096.
local SLOT = 3

-- Redis's own clock, in milliseconds: the clocks of the replicas differ. A failover may set it
-- back: a time that is further ahead than anything is ever put off counts as now.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local FAR = now + LONGEST + 1000

-- A text that was never given out before: a number that grows, and the microsecond. A failover may
-- lose the last numbers; the microsecond then tells two texts with one number apart.
local function unique()
  return string.format('%d-%d%06d', redis.call('INCR', counter), time[1], time[2])
end

-- When the change happened that gave out this version, in milliseconds. Nothing for a reader's
-- request.
local function changed_at(version)
  local micros = string.match(version, '^%d+%-(%d+)$')
  return micros and math.floor(tonumber(micros) / 1000)
end

-- The next tick after a millisecond.
local function tick(after)
  return (math.floor(after / WINDOW) + 1) * WINDOW
end

-- When a task that is not queued becomes due if it is queued now.
local function window(task)
  local last = tonumber(redis.call('ZSCORE', refreshed, task) or nil)
  return last and last <= now and math.max(now, tick(last)) or now
end

-- Queues a task with a new version, whatever the worker is doing with it: its completion then sees
-- another version than it claimed. A task that backs off keeps its place; one that waits for the
-- replicas does not.
local function changed(task, version)
  redis.call('HSET', sequences, task, version)
  redis.call('HSETNX', since, task, now)
  local backs_off = redis.call('HEXISTS', failures, task) == 1
  redis.call('ZADD', due, backs_off and 'NX' or 'LT', window(task), task)
end

-- Sees to it that a worker is woken within this many milliseconds.
local function alarm(milliseconds)
  local left = redis.call('PTTL', timer)
  if left < 0 or left > milliseconds then
    redis.call('SET', timer, 1, 'PX', math.max(1, math.ceil(milliseconds)))
  end
end

-- When the origin may be sent the next request, in milliseconds; nothing while the circuit breaker
-- is closed.
local function next_probe()
  local probe = tonumber(redis.call('HGET', origin, 'probe') or nil)
  return probe and (probe > FAR and now or probe)
end

-- Wakes a worker. PUBLISH goes through pcall: a user without the right to publish still queues. If
-- the wake-up gets lost, or the worker dies on it, that costs SAFETY milliseconds.
local function publish()
  local reached = redis.pcall('PUBLISH', channel, 'wake')
  if type(reached) ~= 'number' or reached == 0 then return 0 end
  redis.pcall('SET', waking, 1, 'PX', 1000)
  return reached
end

-- Wakes a worker for a task that is due, unless one is at work (it looks again before it lets the
-- lease go) or has been woken already, or the circuit breaker is open: then the next probe is soon
-- enough.
local function wake(task)
  local at = tonumber(redis.call('ZSCORE', due, task) or nil)
  if not at or at > now + WINDOW and at <= FAR then return end
  local probe = next_probe()
  if probe and probe > now then return alarm(probe - now) end
  alarm(SAFETY)
  if redis.call('EXISTS', lease, waking) == 0 then publish() end
end

-- Whether the lease is this token's, which renews it. Every verb of the worker begins with it:
-- Redis refuses a script's first write when its memory is full, unless that write needs none, and
-- then refuses none of the others. What the worker writes is small, and its work frees memory.
local function holds(token)
  return redis.call('GET', lease) == token and redis.call('PEXPIRE', lease, LEASE) == 1
end

-- The lease was lost: what was written without it may be older than what the new holder has
-- written, so the task is queued again, and the holder writes last.
local function again(task)
  redis.call('DEL', waking)
  changed(task, unique())
  wake(task)
end

-- Where something is known of a key that readers miss.
local function slot(key)
  return string.sub(redis.sha1hex(key), 1, SLOT)
end

-- What is known of it, if the slot is not another key's: until which millisecond, and the status.
local function known(key)
  local text = redis.call('HGET', misses, slot(key)) or ''
  local ends, status, whose = string.match(text, '^(%d+) (%d+) (.*)$')
  if whose == key and tonumber(ends) <= FAR then return tonumber(ends), tonumber(status) end
end

local function answered(key, status, lasts)
  redis.call('HSET', misses, slot(key), string.format('%d %d %s', now + lasts, status, key))
  redis.call('PEXPIRE', misses, HEARTBEAT)
end

-- Each is given the arguments after its name.
local verbs = {}
