
-- A webhook reported a change. Queues the tasks with one new version. Returns the version's number,
-- and 1 if the caller has to wake a worker.
function operations.invalidate(...)
  local version = unique()
  for _, task in ipairs({...}) do enqueue(task, version) end
  for _, task in ipairs({...}) do wake(task) end
  return {tonumber(string.match(version, '^%d+')), caller_wakes}
end

-- The worker found outdated entries. Queues the tasks, but does not wake a worker, and does not
-- count as a recent change that the origin's replicas may lack.
function operations.requeue(...)
  local version = unique() .. '-worker'
  for _, task in ipairs({...}) do enqueue(task, version) end
end
