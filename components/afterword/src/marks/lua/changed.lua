
-- A webhook said that something has changed. Returns the number of the version that the tasks
-- share.
function verbs.changed(...)
  local version = unique()
  for _, task in ipairs({...}) do changed(task, version) end
  for _, task in ipairs({...}) do wake(task) end
  return tonumber(string.match(version, '^%d+'))
end
