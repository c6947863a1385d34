-- A reader found no entry of a key: tries to acquire the fetch lock, for so many milliseconds. The
-- other readers wait, and poll the store. Returns what this reader does, and for how many
-- milliseconds that holds: 0 to ask the origin, 1 to wait and look again, or the status that another
-- reader got from the origin a moment ago.
-- All of it is one hash of at most 4,096 fields: requests for random keys cannot grow it. Two keys in
-- one slot drive each other out, which costs a request and no more.
function verbs.miss(key, lasts)
  local ends, status = known(key)
  if ends and ends > now then return {status, ends - now} end
  answered(key, 1, lasts)
  return {0, tonumber(lasts)}
end

-- The reader that asked the origin got this status, which holds for so many milliseconds for the
-- other readers of the key, too.
function verbs.answered(key, status, lasts)
  answered(key, status, lasts)
end
