-- keyed: what an Idempotency-Key, or a reservation, changes about a call; KEYS and ARGV as in admit. A key's record is the
-- last key (without one there is no fingerprint, and another key stands in); before it stand the reservation that the call
-- opens and the shard's due ones, with ARGV 9 when it expires, Unix ms ('' = it opens none), 10 its name there.
-- The outcome if no limit refuses, what the call takes then, and the record where the key is known.
local function keyed_outcome(now, requests, cost)
  if (ARGV[9] or '') ~= '' then natural(ARGV[9]) end
  if ARGV[7] == '' then return ADMITTED, requests, cost, nil end
  natural(ARGV[8])
  local record = record_read(KEYS[#KEYS], ARGV[7], now)
  if not record then return ADMITTED, requests, cost, nil end
  return record.outcome, record.outcome == RERUN and requests or 0, 0, record
end

local function keyed_write(now, record, cost)
  local in_flight_until = now + ARGV[8]
  if record then return record_rerun(KEYS[#KEYS], in_flight_until) end
  if ARGV[7] ~= '' then record_open(KEYS[#KEYS], ARGV[7], ARGV[6], ARGV[5], in_flight_until, RECORD_LIFE_MS) end
  if (ARGV[9] or '') ~= '' then reservation_open(KEYS[#KEYS - 2], KEYS[#KEYS - 1], ARGV[10], ARGV[5], cost, ARGV[9]) end
end
