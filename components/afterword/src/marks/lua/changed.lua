
-- A webhook said that something has changed. Returns the number of the version that the tasks
-- share.
function verbs.changed(...)
  local version = unique()
  for _, task in ipairs({...}) do changed(task, version) end
  for _, task in ipairs({...}) do wake(task) end
  return tonumber(string.match(version, '^%d+'))
end

-- The worker found these tasks outdated: the same, but not known to have changed just now, so that
-- the origin's replicas do not matter, and nobody has to be woken.
function verbs.outdated(...)
  local version = unique() .. '-worker'
  for _, task in ipairs({...}) do changed(task, version) end
end
