
return operations[table.remove(ARGV, 1)](unpack(ARGV))
