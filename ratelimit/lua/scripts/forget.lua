-- forget: a reservation that PostgreSQL knows as finished is finished here as well, without an event.
-- Counters of its key are counted anew, since PostgreSQL has raised the account's version; its run is told here.
-- KEYS  1 reservation, 2 due reservations, 3 its run (see budgets), of a child 4 its parent
-- ARGV  1 name among those due, 2 state, 3 what it was charged, 4 what it had cost
-- Result  1
local held = reservation_read(KEYS[1])
if held and not held.state then
  redis.call('HSET', KEYS[1], 's', ARGV[2], 'c', ARGV[3], 'q', ARGV[4])
  redis.call('PEXPIRE', KEYS[1], KEPT_MS)
  budgets_back_to_run(KEYS[3], held.draws and '0' or string.format('%.0f', natural(ARGV[3]) - held.bound), 1)
  local parent = KEYS[4] and held.draws and reservation_read(KEYS[4])
  if parent and parent.children > 0 then redis.call('HINCRBY', KEYS[4], 'k', -1) end
end
redis.pcall('ZREM', KEYS[2], ARGV[1])
return 1
