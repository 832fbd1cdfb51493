-- admit: judge the minute and the quota, then charge both or neither, and write the audit event in the same step.
-- KEYS  1 account fence, 2 catalogue fence, 3 ring's head, 4 ring's body, 5 quota, 6 event stream; under an Idempotency-Key
--       7 its receipt
-- ARGV  1 account version, 2 catalogue version, 3 limits, 4 moment (see limits), 5 audit event ('' = none); with a receipt
--       6 event id, 7 fingerprint
-- Result  {STALE, account version, catalogue version} | {SKEWED, now ms}
--       | standings: ADMITTED or REFUSED, now ms, violated (1 minute, 2 quota), the minute's used and wait ms (-1 = in
--         vain), the quota's used; packed >I1I8I1I8i8i8
--       | {standings with REPLAYED or CONFLICT, event id, audit event}: nothing is charged again, both are the first run's
local ADMITTED, REFUSED, REPLAYED, STALE, SKEWED, CONFLICT = 1, 2, 3, 4, 5, 6

local held = redis.call('MGET', KEYS[1], KEYS[2], KEYS[3])
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then return {STALE, held[1] or '0', held[2] or '0'} end

local charged_at, now, maximum, request, window, quota, cost, expiry = limits_read(ARGV[3], ARGV[4])
if now == 0 then
  local clock = redis.call('TIME')
  now = clock[1] * 1000 + math.floor(clock[2] / 1000)
end
if math.abs(now - charged_at) > LARGEST_SKEW_MS then return {SKEWED, now} end

local receipt, conflict = #ARGV > 5 and receipt_read(KEYS[7]), false
if receipt then cost, conflict = 0, receipt.fingerprint ~= ARGV[7] end

local head, ring = window > 0 and held[3], KEYS[4] -- without a window there is no ring
if not head and window > 0 then redis.call('STRLEN', KEYS[3]) end -- MGET says nothing of what is no string
local capacity, place, used, oldest, at, ahead = ring_read(ring, head, window, now)
local tokens, fresh = quota_held(KEYS[5])
if tokens + cost > EXACT then error('a counter would leave the exact numbers: ' .. KEYS[5]) end

local violated = 0
if request > 0 and used + request > maximum then violated = 1 end
if cost > 0 and tokens + cost > quota then violated = violated + 2 end
if violated == 0 and not conflict then
  local life = ahead + window
  if request > 0 then
    if used == capacity or place % BLOCK == BLOCK - 1 then redis.call('XLEN', KEYS[6]) end -- before the first write
    if used == 0 then oldest = at % WRAP end
    if used == capacity then capacity, place, head = ring_grow(ring, head, capacity, place, maximum, life) end
    used = used + 1
    head = ring_put(ring, head, capacity, place, used, oldest, at, life)
  end
  if receipt then receipt_run(KEYS[7])
  else
    if ARGV[5] ~= '' then redis.call('XADD', KEYS[6], '*', 'e', ARGV[5]) end
    if #ARGV > 5 then receipt_open(KEYS[7], ARGV[7], ARGV[6], ARGV[5], RECEIPT_LIFE_MS) end
  end
  if request > 0 then redis.call('SET', KEYS[3], head, 'PX', life) end
  if cost > 0 then quota_add(KEYS[5], cost, fresh, expiry) end
  tokens = tokens + cost
end

local wait, outcome = 0, conflict and CONFLICT or violated > 0 and REFUSED or receipt and REPLAYED or ADMITTED
if maximum == 0 then wait = -1
elseif used > 0 then
  local next = used > maximum and ring_stamp(ring, head, capacity, place, used, used - maximum) or oldest
  wait = ahead + window - (at - next) % WRAP
end
local standings = struct.pack('>I1I8I1I8i8i8', outcome, now, violated, used, wait, tokens)
return receipt and {standings, receipt.event, receipt.audit} or standings
