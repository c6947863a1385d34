
-- A reader found an entry missing or stale. Queues the key unless it is queued. Returns 1 if it was
-- not, and 1 if the caller has to wake a worker. A queued key does not change: readers must not undo
-- a back-off. With `releases_fetch_lock`, the reader held the fetch lock and has the origin's
-- response.
function operations.request_refresh(key, releases_fetch_lock)
  local added = redis.call('ZADD', queue, 'NX', due_at(key), key)
  if added == 1 then
    redis.call('HSET', versions, key, unique() .. '-read')
    redis.call('HSET', queued_at, key, now)
  end
  if releases_fetch_lock then release_fetch_lock(key) end
  wake(key)
  return {added, caller_wakes}
end
