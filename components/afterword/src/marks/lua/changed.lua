
-- A webhook said that keys may have changed. Returns the sequence number that they share.
function verbs.changed(channel, ...)
  local sequence = redis.call('INCR', counter)
  for _, key in ipairs({...}) do changed(key, sequence) end
  for _, key in ipairs({...}) do wake(channel, key) end
  return sequence
end
