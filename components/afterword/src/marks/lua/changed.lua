-- A webhook said that keys may have changed. ARGV: channel, key...; returns the sequence number that they share.
local sequence = redis.call('INCR', counter)
for i = 2, #ARGV do changed(ARGV[i], sequence) end
for i = 2, #ARGV do wake(ARGV[1], ARGV[i]) end
return sequence
