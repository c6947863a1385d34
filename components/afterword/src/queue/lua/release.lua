
-- The worker found no due task, or its time is over (`stop` is 1). Releases the lease and sets the
-- alarm to the next task or reconciliation. Returns {kept, wait, due, wakes, closed}: `wait` is the
-- number of milliseconds until then, `due` the number of tasks that could be claimed now. Returns
-- nil if the lease is lost.
--
-- `kept` is 1 if a task becomes due within one debounce window: the worker keeps the lease, unless
-- its time is over.
--
-- `wakes` is 1 if the caller has to wake the next worker after `wait`, because there is no channel,
-- and no other caller does so by one debounce window later. The caller can wait for `patience`
-- milliseconds.
--
-- `closed` is 1 if this closes the circuit breaker: the last request succeeded, and no task is left
-- to probe the origin with.
--
-- The check and the deletion are one script: a task that is queued after the last claim is either
-- seen here, or finds no lease and wakes a worker.
function operations.release(token, reconcile_interval, stop, patience)
  if not holds_lease(token) then return false end
  local first = redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')[2]
  first = tonumber(first or now + MAX_ALARM)
  local blocked = request_wait()
  local wait = math.max(0, first - now, blocked)
  local due = blocked > 0 and 0 or redis.call('ZCOUNT', queue, '-inf', now)
  if wait <= DEBOUNCE_WINDOW and stop ~= '1' then return {1, wait, due, 0, 0} end
  local at = tonumber(string.match(redis.call('GET', reconciled) or '', '^%d+') or now)
  -- An overdue reconciliation is in the queue.
  if at + reconcile_interval > now then wait = math.min(wait, at + reconcile_interval - now) end
  local closes = due == 0 and redis.call('HEXISTS', breaker, 'allowed') == 1
  if closes then redis.call('DEL', breaker) end
  redis.call('DEL', lease)
  wait = math.ceil(math.min(wait, MAX_ALARM))
  redis.call('SET', alarm, 1, 'PX', math.max(1, wait))
  local left = redis.call('PTTL', next_wake)
  local wakes = not has_channel and wait <= tonumber(patience)
    and (left < 0 or left > wait + DEBOUNCE_WINDOW)
  if wakes then
    redis.call('SET', next_wake, 1, 'PX', math.max(1, wait))
    count_requests(1)
  end
  return {0, wait, due, wakes and 1 or 0, closes and 1 or 0}
end
