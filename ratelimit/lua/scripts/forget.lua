-- forget: end receipts of charges that were refused or taken back elsewhere, so that nobody replays them.
-- KEYS  receipts     ARGV  the event id of each
-- Result  receipts that are gone; one of another event stays
local gone = 0
for i = 1, #KEYS do
  if redis.call('HGET', KEYS[i], 'e') == ARGV[i] then gone = gone + redis.call('DEL', KEYS[i]) end
end
return gone
