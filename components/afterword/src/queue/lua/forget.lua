
-- Removes a name that Afterword did not write. It would stay due forever.
function operations.forget(token, name)
  if not holds_lease(token) then return end
  redis.call('ZREM', queue, name)
  for _, hash in ipairs({versions, queued_at, failures, errors, suspects}) do
    redis.call('HDEL', hash, name)
  end
end
