-- keyed: what an Idempotency-Key changes about a call; KEYS and ARGV as in admit, whose record is the last key.
-- The outcome if no limit refuses, what the call takes then, and the record where the key is known.
local function keyed_outcome(now, requests, cost)
  natural(ARGV[8])
  local record = record_read(KEYS[#KEYS], ARGV[7], now)
  if not record then return ADMITTED, requests, cost, nil end
  return record.outcome, record.outcome == RERUN and requests or 0, 0, record
end

local function keyed_write(now, record)
  local in_flight_until = now + ARGV[8]
  if record then record_rerun(KEYS[#KEYS], in_flight_until)
  else record_open(KEYS[#KEYS], ARGV[7], ARGV[6], ARGV[5], in_flight_until, RECORD_LIFE_MS) end
end
