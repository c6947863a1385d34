
-- What the operations of the worker share.

-- After this long without a sign of life, a worker and its application count as gone.
local ALIVE_TTL = 150000

-- Whether the caller holds the lease; renews it. Every operation of the worker starts with this
-- write: if Redis's memory is full, it refuses a script whose first write needs memory, but allows
-- every later write. The worker's writes are small, and completing tasks frees memory.
local function holds_lease(token)
  return redis.call('GET', lease) == token and redis.call('PEXPIRE', lease, LEASE_TTL) == 1
end

-- Appends what a worker has to know about a task that it claims: the task, its version, its
-- failures, 1 if it is a suspect (`trip.lua`), and for how many milliseconds it has been queued.
local function append_claimed(claimed, task)
  claimed[#claimed + 1] = task
  claimed[#claimed + 1] = redis.call('HGET', versions, task) or ''
  claimed[#claimed + 1] = tonumber(redis.call('HGET', failures, task) or 0)
  claimed[#claimed + 1] = redis.call('HGET', suspects, task) == 'own' and 1 or 0
  local since = tonumber(redis.call('HGET', queued_at, task) or now)
  claimed[#claimed + 1] = math.max(0, now - since)
end

-- The caller has lost the lease. Its write may be older than one by the new holder, so the task is
-- queued again: the holder then writes last. With a place in a list, the caller has written what
-- the list had elsewhere, too: the whole list is queued.
local function requeue_without_lease(task)
  redis.call('DEL', wake_pending)
  local list = string.match(task, '^(.*)#')
  wake(enqueue(list and {task, list} or {task}, unique()))
end

-- A part of the application gives a sign of life: `worker`, or `expired` for Redis's report of an
-- expired key.
local function sign_of_life(part)
  local last = tonumber(redis.call('HGET', health, part .. '_at') or nil)
  if not last or last > now or now - last > ALIVE_TTL then
    redis.call('HSET', health, part .. '_since', now)
  end
  redis.call('HSET', health, part .. '_at', now)
end

-- Whether the origin fails, for the status page.
local function set_origin_fails(fails)
  if fails then redis.call('HDEL', health, 'origin_since')
  else redis.call('HSETNX', health, 'origin_since', now) end
end
