-- recall: bring back receipts that Redis has lost, or never had because their calls were decided without it.
-- KEYS  two a receipt: the receipt, and the marker of its event's void
-- ARGV  five a receipt: fingerprint, event id, audit event, runs, expiry ms
-- Result  1 for each that was brought back; one that is present is newer, or the same, and a voided one is over
for i = 1, #KEYS, 2 do
  local at = 5 * (i - 1) / 2
  natural(ARGV[at + 4])
  natural(ARGV[at + 5])
  redis.call('HLEN', KEYS[i])
end

local brought = {}
for i = 1, #KEYS, 2 do
  local lacking = redis.call('EXISTS', KEYS[i], KEYS[i + 1]) == 0
  brought[#brought + 1] = lacking and 1 or 0
  if lacking then
    local at = 5 * (i - 1) / 2
    redis.call('HSET', KEYS[i], 'f', ARGV[at + 1], 'e', ARGV[at + 2], 'a', ARGV[at + 3], 'n', ARGV[at + 4])
    redis.call('PEXPIREAT', KEYS[i], ARGV[at + 5])
  end
end
return brought
