-- admit: judge every limit, then charge all or none, and write the audit event in the same step.
-- KEYS  1 account fence, 2 catalogue fence, 3 event stream, 4 receipt, 5.. one a limit
-- ARGV  1 account version, 2 catalogue version, 3 charged_at ms, 4 now ms ('' = this server's clock), 5 largest skew ms,
--       6 audit event ('' = none), 7 event id, 8 fingerprint ('' = no receipt), 9 receipt's life ms,
--       then four a limit: kind (ring|quota), maximum ('' = unlimited), amount, ring: window ms | quota: expiry ms
-- Result  {STALE, account version, catalogue version} | {SKEWED, now ms}
--       | {ADMITTED, REFUSED or CONFLICT, now ms, event id, violated (bits), then two a limit: used, wait ms}
--       | {REPLAYED, … likewise, audit event}: nothing is charged again, both events are the first run's
local ADMITTED, REFUSED, REPLAYED, STALE, SKEWED, CONFLICT = 1, 2, 3, 4, 5, 6

local stale = fence_differs(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
if stale then return {STALE, stale[1], stale[2]} end

local now = ARGV[4]
if now == '' then
  local clock = redis.call('TIME')
  now = clock[1] * 1000 + math.floor(clock[2] / 1000)
else
  now = natural(now)
end
if math.abs(now - natural(ARGV[3])) > natural(ARGV[5]) then return {SKEWED, now} end

natural(ARGV[9])
local receipt = ARGV[8] ~= '' and receipt_read(KEYS[4])
local conflict = receipt and receipt.fingerprint ~= ARGV[8]

local limits, violated = {}, 0
for i = 5, #KEYS do
  local at = 10 + 4 * (i - 5)
  local limit = {ring = ARGV[at] == 'ring', key = KEYS[i], amount = natural(ARGV[at + 2]), period = natural(ARGV[at + 3])}
  limit.maximum = ARGV[at + 1] ~= '' and natural(ARGV[at + 1])
  if limit.ring and (limit.amount > 1 or not limit.maximum) then error('a ring has a maximum and takes one at a time') end
  if receipt and not limit.ring then limit.amount = 0 end
  limit.state = limit.ring and ring_read(limit.key, now, limit.period) or quota_read(limit.key)
  local used = limit.ring and limit.state.count or limit.state.used
  if used + limit.amount > EXACT then error('a counter would leave the exact numbers: ' .. limit.key) end
  if limit.amount > 0 and limit.maximum and used + limit.amount > limit.maximum then violated = violated + 2 ^ (i - 5) end
  limits[#limits + 1] = limit
end

if violated == 0 and not conflict then
  if ARGV[6] ~= '' and not receipt then redis.call('XADD', KEYS[3], '*', 'e', ARGV[6]) end
  if receipt then receipt_run(KEYS[4]) elseif ARGV[8] ~= '' then receipt_open(KEYS[4], ARGV[8], ARGV[7], ARGV[6], ARGV[9]) end
  for _, limit in ipairs(limits) do
    if limit.amount > 0 and limit.ring then ring_take(limit.state, limit.maximum)
    elseif limit.amount > 0 then quota_add(limit.state, limit.amount, limit.period) end
  end
end

local status = conflict and CONFLICT or (violated > 0 and REFUSED or (receipt and REPLAYED or ADMITTED))
local result = {status, now, receipt and receipt.event or ARGV[7], violated}
for _, limit in ipairs(limits) do
  result[#result + 1] = limit.ring and limit.state.count or limit.state.used
  result[#result + 1] = limit.ring and ring_wait(limit.state, limit.maximum) or 0
end
if status == REPLAYED then result[#result + 1] = receipt.audit end
return result
