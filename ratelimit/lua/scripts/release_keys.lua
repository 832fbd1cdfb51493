-- release_keys: free Idempotency-Keys whose charges were refused or voided elsewhere, so that nobody is served for them.
-- KEYS  records     ARGV  the event id of each
-- Result  records that are gone; one of another event stays, and what is no record
local gone = 0
for i = 1, #KEYS do
  if redis.pcall('HGET', KEYS[i], 'e') == ARGV[i] then gone = gone + redis.call('DEL', KEYS[i]) end
end
return gone
