
-- A change was reported, `ago` milliseconds ago, by `source`: 'webhook', 'outbox' or 'status'.
-- Queues the tasks with one new version. Returns the version's number, which is the event's id, and
-- 1 if the caller has to wake a worker.
function operations.invalidate(source, ago, ...)
  local tasks = {...}
  local version = unique()
  local id = string.match(version, '^%d+')
  for _, task in ipairs(tasks) do enqueue(task, version) end
  redis.call('SET', last_change, version)
  record_event(id, source, ago, tasks)
  -- One that is due is enough.
  for _, task in ipairs(tasks) do
    if wake(task) then break end
  end
  return {tonumber(id), caller_wakes}
end

-- The worker found outdated entries. Queues the tasks, but does not wake a worker, and does not
-- count as a recent change that the origin's replicas may lack.
function operations.requeue(...)
  local version = unique() .. '-worker'
  for _, task in ipairs({...}) do enqueue(task, version) end
end
