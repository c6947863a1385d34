
-- Tasks failed by their own fault. The arguments are pairs of a task and its delay in milliseconds.
-- The tasks stay queued with the error. Returns 1, or 0 if the lease is lost: then the
-- tasks are queued again, because an abandoned write may have succeeded after all, and may be older
-- than one by the new holder.
function operations.back_off(token, why, ...)
  local tasks = {...}
  local held = holds_lease(token)
  for i = 1, #tasks, 2 do
    local task = tasks[i]
    if not held then
      requeue_without_lease(task)
    elseif redis.call('ZSCORE', queue, task) then
      redis.call('HINCRBY', failures, task, 1)
      redis.call('HSET', errors, task, why)
      redis.pcall('HINCRBY', metrics, 'retries', 1)
      redis.call('ZADD', queue, now + tasks[i + 1], task)
      set_alarm(tonumber(tasks[i + 1]))
    end
  end
  return held and 1 or 0
end
