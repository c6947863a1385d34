-- The marks, in Redis: what all verbs share. The verbs follow, a file each, and then the call of the one that is asked for. Redis runs
-- the script alone, so that whatever a verb does is atomic: nobody sees a mark without its sequence number, and no mark
-- slips in between a look and a deletion.
--
-- due        sorted set: key -> the millisecond from which it is due
-- counter    the last number given out, for marks and lease tokens alike; never reset, so that no number is used twice
-- sequences  hash: marked key -> the sequence number of its latest mark
-- since      hash: marked key -> the millisecond of its first mark since it was last cleared
-- failures   hash: marked key -> how often its refresh has failed since it was last cleared
-- errors     hash: marked key -> why it failed last
-- refreshed  sorted set: key -> the millisecond of its last refresh, kept for one TURN
-- lease      string: the token of the one worker that may write entries; expires
-- waking     string: set while a wake-up that reached a worker is under way; expires
-- timer      string: its expiry wakes a worker: an alarm clock
-- alive      string: a worker has been at work lately; expires
-- origin     hash, there while the origin fails: `probe`, the millisecond of the next request that it may be sent; `why`, why it
--            failed last; `since`, the millisecond of its first failure; `setup`, what the worker was set up with then
-- suspects   hash: key -> 'held' while its failure is taken for the origin's; 'own' once the origin has answered for
--            another key since: then the next such failure is the key's own
-- reconciled string: the millisecond of the last reconciliation
-- misses     hash: slot -> what is known of a key that readers miss (`miss`): until which millisecond, the status, the key
local due, counter, sequences, since, failures, errors, refreshed, lease, waking, timer, alive, origin, suspects, reconciled, misses,
  channel = unpack(KEYS)

-- A key refreshed a moment ago waits for its next turn, so that a burst costs two refreshes a second. Turns are the ticks of a
-- common clock, so many milliseconds apart: what waits becomes due together, and is fetched with one request.
local TURN = 500

-- While the origin fails, it is sent a request in so many milliseconds.
local PROBE = 5000

-- A key that fails as the origin does, while others succeed, is tried again after so many milliseconds at the latest.
local SUSPECT = 8000

-- A worker is woken after so many milliseconds at the latest.
local HEARTBEAT = 60000

-- A mark leaves an alarm of at most this many milliseconds behind.
local SAFETY = 2000

-- The first hexadecimal digits of a key's SHA-1 are its slot among the misses: there are 4,096.
local SLOT = 3

-- Redis's own clock, in milliseconds: the clocks of the replicas differ.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- The next turn after a millisecond.
local function tick(after)
  return (math.floor(after / TURN) + 1) * TURN
end

-- When a key that is not marked becomes due if it is marked now.
local function turn(key)
  local last = redis.call('ZSCORE', refreshed, key)
  return last and math.max(now, tick(last)) or now
end

-- A new sequence number, whatever the worker is doing with the key: its clear then sees another number than it claimed.
-- A key that is already marked keeps its place, also when it is backing off.
local function changed(key, sequence)
  redis.call('HSET', sequences, key, sequence)
  redis.call('HSETNX', since, key, now)
  redis.call('ZADD', due, 'NX', turn(key), key)
end

-- Sees to it that a worker is woken within this many milliseconds.
local function alarm(milliseconds)
  local left = redis.call('PTTL', timer)
  if left < 0 or left > milliseconds then
    redis.call('SET', timer, 1, 'PX', math.max(1, math.ceil(milliseconds)))
  end
end

-- Wakes a worker for a key that has its turn, unless one is at work (it looks again before it lets the lease go) or has
-- been woken already, or the origin fails: then the next probe is soon enough. PUBLISH goes through pcall: a user without the
-- right to publish still marks. If the wake-up gets lost, or the worker dies on it, that costs SAFETY milliseconds.
local function wake(key)
  if tonumber(redis.call('ZSCORE', due, key)) > now + TURN then return end
  local probe = tonumber(redis.call('HGET', origin, 'probe') or 0)
  if probe > now then return alarm(probe - now) end
  alarm(SAFETY)
  if redis.call('EXISTS', lease, waking) > 0 then return end
  local reached = redis.pcall('PUBLISH', channel, 'wake')
  if type(reached) == 'number' and reached > 0 then redis.call('SET', waking, 1, 'PX', 1000) end
end

-- Where something is known of a key that readers miss.
local function slot(key)
  return string.sub(redis.sha1hex(key), 1, SLOT)
end

-- What is known of it, if the slot is not another key's: until which millisecond, and the status.
local function known(key)
  local ends, status, whose = string.match(redis.call('HGET', misses, slot(key)) or '', '^(%d+) (%d+) (.*)$')
  if whose == key then return tonumber(ends), tonumber(status) end
end

local function answered(key, status, lasts)
  redis.call('HSET', misses, slot(key), string.format('%d %d %s', now + lasts, status, key))
  redis.call('PEXPIRE', misses, HEARTBEAT)
end

-- Each is given the arguments after its name.
local verbs = {}
