-- admit: judge every limit, then charge all or none, and write the audit event in the same step.
-- KEYS  1 account fence, 2 catalogue fence, 3 event stream, 4.. one a limit, and under an Idempotency-Key its receipt
-- ARGV  1 account version, 2 catalogue version, 3 charged_at ms, 4 now ms ('' = this server's clock),
--       5 audit event ('' = none), 6.. one word a limit (see limit), and with a receipt: event id, fingerprint
-- Result  {STALE, account version, catalogue version} | {SKEWED, now ms}
--       | {ADMITTED or REFUSED, now ms, violated (bits), then two a limit: used, wait ms}
--       | {REPLAYED or CONFLICT, … likewise, event id, audit event}: nothing is charged again, both are the first run's
local ADMITTED, REFUSED, REPLAYED, STALE, SKEWED, CONFLICT = 1, 2, 3, 4, 5, 6

local held = redis.call('MGET', KEYS[1], KEYS[2])
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then return {STALE, held[1] or '0', held[2] or '0'} end

local now, last, receipt = ARGV[4], #KEYS, nil
if now == '' then
  local clock = redis.call('TIME')
  now = clock[1] * 1000 + math.floor(clock[2] / 1000)
else
  now = natural(now)
end
if math.abs(now - natural(ARGV[3])) > LARGEST_SKEW_MS then return {SKEWED, now} end

local keyed = #ARGV - #KEYS > 2
if keyed then
  last = last - 1
  receipt = receipt_read(KEYS[#KEYS])
end
local conflict = receipt and receipt.fingerprint ~= ARGV[#ARGV]

local states, violated = {}, 0
for i = 4, last do
  local ring, maximum, amount, period = limit_read(ARGV[i + 2])
  if receipt and not ring then amount = 0 end
  local state = (ring and ring_read or quota_read)(KEYS[i], maximum, amount, period, now)
  if state.used + amount > EXACT then error('a counter would leave the exact numbers: ' .. KEYS[i]) end
  if amount > 0 and maximum and state.used + amount > maximum then violated = violated + 2 ^ (i - 4) end
  states[i - 3] = state
end

if violated == 0 and not conflict then
  if ARGV[5] ~= '' and not receipt then redis.call('XADD', KEYS[3], '*', 'e', ARGV[5]) end
  if receipt then receipt_run(KEYS[#KEYS])
  elseif keyed then receipt_open(KEYS[#KEYS], ARGV[#ARGV], ARGV[#ARGV - 1], ARGV[5], RECEIPT_LIFE_MS) end
  for i = 1, #states do
    local state = states[i]
    if state.amount > 0 then if state.window then ring_take(state) else quota_add(state, state.amount, state.expire_at_ms) end end
  end
end

local result = {conflict and CONFLICT or violated > 0 and REFUSED or receipt and REPLAYED or ADMITTED, now, violated}
for i = 1, #states do
  local state = states[i]
  result[2 * i + 2], result[2 * i + 3] = state.used, state.window and ring_wait(state) or 0
end
if receipt then result[#result + 1], result[#result + 2] = receipt.event, receipt.audit end
return result
