
-- How long a store counts as full after a worker's last report. Workers report it at each claim.
local FULL_TTL = 600000

local function store_is_full()
  local at = tonumber(redis.call('HGET', health, 'full_at') or nil)
  return at and at <= now and now - at < FULL_TTL
end

-- A reader found an entry missing or stale. Queues the key unless it is queued. Returns 1 if it was
-- not, 1 if the caller has to wake a worker, and 1 if the requests of this hour are used up. A
-- queued key does not change: readers must not undo a back-off. With `releases_fetch_lock`, the
-- reader held the fetch lock and has the origin's response. With `is_new`, the store lacks the key:
-- while it is full, nothing is queued.
function operations.request_refresh(key, releases_fetch_lock, is_new)
  if is_new and store_is_full() then
    release_fetch_lock(key)
    return {0, 0, 0}
  end
  local at = due_at(redis.call('ZSCORE', completed, key))
  local added = redis.call('ZADD', queue, 'NX', at, key)
  if added == 1 then
    redis.call('HSET', versions, key, unique() .. '-read')
    redis.call('HSET', queued_at, key, now)
  else
    at = tonumber(redis.call('ZSCORE', queue, key))
  end
  if releases_fetch_lock then release_fetch_lock(key) end
  wake(at)
  return {added, caller_wakes, quota_wait() > 0 and 1 or 0}
end
