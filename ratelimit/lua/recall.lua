-- recall: bring back receipts that Redis has lost, or never had because their calls were decided without it.
-- KEYS  receipts     ARGV  five a receipt: fingerprint, event id, audit event, runs, expiry ms
-- Result  receipts brought back; one that is present is newer, or the same
for i = 1, #KEYS do
  natural(ARGV[5 * i - 1])
  natural(ARGV[5 * i])
  redis.call('HLEN', KEYS[i])
end

local brought = 0
for i = 1, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 0 then
    local at = 5 * i - 4
    redis.call('HSET', KEYS[i], 'f', ARGV[at], 'e', ARGV[at + 1], 'a', ARGV[at + 2], 'n', ARGV[at + 3])
    redis.call('PEXPIREAT', KEYS[i], ARGV[at + 4])
    brought = brought + 1
  end
end
return brought
