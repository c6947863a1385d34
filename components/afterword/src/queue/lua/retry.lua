
-- Makes this task due now, or without one every task that backs off, and allows the circuit
-- breaker's next probe. The tasks keep their number of failures. Returns the number of tasks, and 1
-- if the caller has to wake a worker.
function operations.retry(only)
  local tasks = only and {only, 1} or redis.call('HGETALL', failures)
  local count = 0
  for i = 1, #tasks, 2 do
    local task = tasks[i]
    local at = tonumber(redis.call('ZSCORE', queue, task) or nil)
    if at then
      count = count + 1
      if at > now then redis.call('ZADD', queue, 'XX', now, task) end
    end
  end
  if redis.call('EXISTS', breaker) == 1 and count > 0 then
    redis.call('HSET', breaker, 'probe', now)
  end
  if count > 0 then wake(now) end
  return {count, caller_wakes}
end
