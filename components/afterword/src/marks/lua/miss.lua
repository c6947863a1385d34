-- A reader found no entry of a key. Who may ask the origin for it? The first does, and for so many milliseconds no other; until it has
-- its answer, the others look into the store. Returns what this reader is to do, and for how many milliseconds that holds:
-- 0 to ask the origin, 1 to wait and look again, or the status that the origin's answer came to, a moment ago.
-- What is known of misses is one hash of 4,096 fields at most, so that a crowd that asks for ever other keys fills nothing. Two keys
-- in one slot drive each other out, which costs a request and no more.
function verbs.miss(key, lasts)
  local ends, status = known(key)
  if ends and ends > now then return {status, ends - now} end
  answered(key, 1, lasts)
  return {0, tonumber(lasts)}
end

-- The reader who asked the origin got this status for it, which holds for so many milliseconds: for the others who miss, too.
function verbs.answered(key, status, lasts)
  answered(key, status, lasts)
end
