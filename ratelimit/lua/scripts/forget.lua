-- forget: a reservation that PostgreSQL knows as finished is finished here as well, without an event.
-- KEYS  1 reservation, 2 due reservations, of a child 3 its parent
-- ARGV  1 name among those due, 2 state, 3 what it was charged, 4 what it had cost
-- Result  1
local held = reservation_read(KEYS[1])
if held and not held.state then
  redis.call('HSET', KEYS[1], 's', ARGV[2], 'c', ARGV[3], 'q', ARGV[4])
  redis.call('PEXPIRE', KEYS[1], KEPT_MS)
  local parent = KEYS[3] and held.draws and reservation_read(KEYS[3])
  if parent and parent.children > 0 then redis.call('HINCRBY', KEYS[3], 'k', -1) end
end
redis.pcall('ZREM', KEYS[2], ARGV[1])
return 1
