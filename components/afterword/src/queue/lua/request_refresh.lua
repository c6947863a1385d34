
-- A reader found an entry missing or stale. Queues the key unless it is queued. Returns 1 if it was
-- not, and 1 if the caller has to wake a worker. A queued key does not change: readers must not undo
-- a back-off. With `releases_fetch_lock`, the reader held the fetch lock and has the origin's
-- response.
function operations.request_refresh(key, releases_fetch_lock)
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
  return {added, caller_wakes}
end
