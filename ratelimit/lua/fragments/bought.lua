-- bought: receipts that Redis has lost, or never had because their calls were decided without it. From the given places on
-- KEYS hold two a receipt: the receipt, and the marker of its event's void;
-- ARGV five: fingerprint, event id, audit event, runs, expiry ms
-- An error before anything is written when what is to be brought is no number.
local function bought_check(first_key, first_word)
  for i = first_key, #KEYS, 2 do
    local at = first_word + 5 * (i - first_key) / 2
    natural(ARGV[at + 3])
    natural(ARGV[at + 4])
    redis.call('HLEN', KEYS[i])
  end
end

-- 1 for each that was brought back; one that is present is newer, or the same, and a voided one is over.
local function bought_bring(first_key, first_word)
  local brought = {}
  for i = first_key, #KEYS, 2 do
    local lacking = redis.call('EXISTS', KEYS[i], KEYS[i + 1]) == 0
    brought[#brought + 1] = lacking and 1 or 0
    if lacking then
      local at = first_word + 5 * (i - first_key) / 2
      redis.call('HSET', KEYS[i], 'f', ARGV[at], 'e', ARGV[at + 1], 'a', ARGV[at + 2], 'n', ARGV[at + 3])
      redis.call('PEXPIREAT', KEYS[i], ARGV[at + 4])
    end
  end
  return brought
end
