-- admit: judge every limit, then charge all or none, and write the audit event in the same step.
-- KEYS  1 account fence, 2 catalogue fence, then the rings' heads, the event stream, the rings' bodies, the quotas; under an
--       Idempotency-Key last its record (see keyed)
-- ARGV  1 account version, 2 catalogue version, 3 limits, 4 call (see limits), 5 audit event ('' = none); with a record
--       6 event id, 7 fingerprint, 8 how long a request may be in flight, ms
-- Result  {STALE, account version, catalogue version} | {SKEWED, now ms}
--       | standings: outcome, now ms, a bit for each limit that refuses, from the first on; then of each limit what is used
--         and, of a ring, the wait in ms (-1 = in vain); packed >I1I8I1, then i8i8 a limit
--       | {standings, event id, audit event, answer's head, answer's body} when the key's record decides or runs again
local KEYS, ARGV, call = KEYS, ARGV, redis.call
local rings = string.byte(ARGV[3])
local held = call('MGET', unpack(KEYS, 1, 2 + rings))
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then return {STALE, held[1] or '0', held[2] or '0'} end

local charged_at, now, requests, cost = call_read(ARGV[4])
if now == 0 then
  local clock = call('TIME')
  now = clock[1] * 1000 + math.floor(clock[2] / 1000)
end
if math.abs(now - charged_at) > LARGEST_SKEW_MS then return {SKEWED, now} end
local outcome, record = ADMITTED, nil
if ARGV[6] then outcome, requests, cost, record = keyed_outcome(now, requests, cost) end

local count, stream, read, violated = limits_count(ARGV[3], rings), 3 + rings, {}, 0
for i = 1, count do
  local maximum, second = limit_read(ARGV[3], i, rings)
  local key, taken, used, fresh = KEYS[stream + i], cost, nil, nil
  if i <= rings then
    taken = requests
    if not held[2 + i] then call('STRLEN', KEYS[2 + i]) end -- MGET says nothing of what is no string
    local ring = {maximum, second, ring_read(key, held[2 + i], second, now)}
    read[i], used = ring, ring[5]
    if used == ring[3] or ring[4] % BLOCK == BLOCK - 1 then call('STRLEN', key) end -- the next stamp goes to the body
  else
    used, fresh = quota_held(key)
    if used + cost > EXACT then error('a counter would leave the exact numbers: ' .. key) end
    read[i] = {used, fresh, second}
  end
  if taken > 0 and used + taken > maximum then violated = violated + 2 ^ (i - 1) end
end

local admits = violated == 0 and (outcome == ADMITTED or outcome == RERUN)
if violated > 0 then outcome = REFUSED end
if admits and not record and ARGV[5] ~= '' then call('XADD', KEYS[stream], '*', 'e', ARGV[5]) end -- first, as it may fail
if admits and ARGV[6] then keyed_write(now, record) end
local states = ''
for i = 1, count do
  local used, wait = read[i][1], 0
  if i <= rings then used, wait = ring_settle(read[i], KEYS[stream + i], 2 + i, held[2 + i], admits and requests > 0)
  elseif admits and cost > 0 then
    quota_add(KEYS[stream + i], cost, read[i][2], read[i][3])
    used = used + cost
  end
  states = states .. struct.pack('>i8i8', used, wait)
end
states = struct.pack('>I1I8I1', outcome, now, violated) .. states
return record and {states, record.event, record.audit, record.head, record.body} or states
