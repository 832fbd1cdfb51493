-- records: what PostgreSQL knows of an account's Idempotency-Keys and Redis does not: keys whose calls were decided without
-- Redis, or that Redis has lost. From the given places on
-- KEYS hold two a record: the record, and the marker of its event's void;
-- ARGV six: fingerprint, event id, audit event, in flight until ms ('' = a run has ended), reruns, expiry ms (0: released)
-- An error before anything is written when what is to be brought is no number.
local function records_check(first_key, first_word)
  for i = first_key, #KEYS, 2 do
    local at = first_word + 6 * (i - first_key) / 2
    if ARGV[at + 3] ~= '' then natural(ARGV[at + 3]) end
    natural(ARGV[at + 4])
    natural(ARGV[at + 5])
  end
end

-- A record that is present is newer, or the same, and one whose event was voided is over. A released key is freed. What is
-- no record stays until it is mended.
local function records_bring(first_key, first_word)
  for i = first_key, #KEYS, 2 do
    local at = first_word + 6 * (i - first_key) / 2
    if ARGV[at + 5] == '0' then
      if redis.pcall('HGET', KEYS[i], 'e') == ARGV[at + 1] then redis.call('DEL', KEYS[i]) end
    elseif redis.call('EXISTS', KEYS[i], KEYS[i + 1]) == 0 then
      redis.call('HSET', KEYS[i], 'f', ARGV[at], 'e', ARGV[at + 1], 'a', ARGV[at + 2], 'n', ARGV[at + 4])
      if ARGV[at + 3] ~= '' then redis.call('HSET', KEYS[i], 't', ARGV[at + 3]) end
      redis.call('PEXPIREAT', KEYS[i], ARGV[at + 5])
    end
  end
end
