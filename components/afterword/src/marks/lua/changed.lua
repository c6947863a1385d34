
-- A webhook said that keys may have changed. Returns the sequence number that they share.
function verbs.changed(...)
  local sequence = redis.call('INCR', counter)
  for _, key in ipairs({...}) do changed(key, sequence) end
  for _, key in ipairs({...}) do wake(key) end
  return sequence
end
