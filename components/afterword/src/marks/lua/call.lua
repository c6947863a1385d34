
return verbs[table.remove(ARGV, 1)](unpack(ARGV))
