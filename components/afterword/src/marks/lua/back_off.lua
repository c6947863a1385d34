
-- Tasks failed, and it was about them: task, milliseconds of its pause, and so on. Returns 1, or 0
-- if the lease is another's by now. Nothing is dropped: the task stays queued, is due again later,
-- and says why. Without the lease the tasks are queued again: a write that was given up may have
-- been carried out all the same, and be older than what the new holder has written.
function verbs.back_off(token, why, ...)
  local tasks = {...}
  local held = holds(token)
  for i = 1, #tasks, 2 do
    local task = tasks[i]
    if not held then
      again(task)
    elseif redis.call('ZSCORE', due, task) then
      redis.call('HINCRBY', failures, task, 1)
      redis.call('HSET', errors, task, why)
      redis.call('ZADD', due, now + tasks[i + 1], task)
      alarm(tonumber(tasks[i + 1]))
    end
  end
  return held and 1 or 0
end
