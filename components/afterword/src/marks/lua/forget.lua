
-- A name in the queue is no task: Afterword did not write it. Removes it.
function verbs.forget(token, name)
  if not holds(token) then return end
  redis.call('ZREM', due, name)
  for _, hash in ipairs({sequences, since, failures, errors, suspects}) do
    redis.call('HDEL', hash, name)
  end
end
