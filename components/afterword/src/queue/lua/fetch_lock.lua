
-- The fetch lock and the negative cache of missing keys share one hash of at most 4,096 fields, so
-- requests for random keys cannot grow it. Two keys in one slot replace each other, which costs one
-- request.

-- A key's slot in `fetch_locks` is this many hexadecimal digits of its SHA-1: 4,096 slots.
local SLOT_DIGITS = 3

local LOCKED = 1

local function slot(key)
  return string.sub(redis.sha1hex(key), 1, SLOT_DIGITS)
end

-- The key's field: the millisecond at which it expires, and the status. Nil if the slot is empty or
-- belongs to another key.
local function slot_of(key)
  local text = redis.call('HGET', fetch_locks, slot(key)) or ''
  local ends, status, owner_key = string.match(text, '^(%d+) (%d+) (.*)$')
  if owner_key == key and tonumber(ends) <= FAR then return tonumber(ends), tonumber(status) end
end

local function set_slot(key, status, ttl)
  redis.call('HSET', fetch_locks, slot(key), string.format('%d %d %s', now + ttl, status, key))
  redis.call('PEXPIRE', fetch_locks, MAX_ALARM)
end

-- Releases the lock whoever holds it: a reader whose lock expired may release its successor's,
-- which costs one request.
local function release_fetch_lock(key)
  if slot_of(key) then redis.call('HDEL', fetch_locks, slot(key)) end
end

-- A reader found no entry. Acquires the fetch lock for `ttl` milliseconds, and returns {0, ttl}:
-- the reader fetches from the origin. Otherwise returns {1, ms} if another reader holds the lock,
-- or {status, ms} if another reader got this error a moment ago; `ms` is the remaining time.
function operations.acquire_fetch_lock(key, ttl)
  local ends, status = slot_of(key)
  if ends and ends > now then return {status, ends - now} end
  set_slot(key, LOCKED, ttl)
  count_requests(1)
  return {0, tonumber(ttl)}
end

-- The reader that held the fetch lock got this error status. The other readers of the key get it,
-- too, for `ttl` milliseconds.
function operations.remember(key, status, ttl)
  set_slot(key, status, ttl)
end
