
-- The worker found outdated entries. Queues the tasks, but does not wake a worker, and does not
-- count as a recent change that the origin's replicas may lack.
function operations.requeue(...)
  enqueue({...}, unique() .. '-worker')
end
