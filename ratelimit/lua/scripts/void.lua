-- void: give tokens of a charge back, once, and write the compensating audit event in the same step.
-- KEYS  1 quota, 2 event stream, 3 marker of the charge's one compensation; of a charge by a key 4, 5, 6 what budgets_back
--       gives back to; last, under an Idempotency-Key, its record
-- ARGV  1 tokens, 2 audit event, 3 event id of the charge, 4 marker's life ms, 5 quota's expiry ms, 6 '1' when the customer
--       takes the charge back, whatever has become of the request; 7 with budgets how many open reservations it closes
-- Result  {VOIDED, used} | {KEPT, used}: the request has run again since, the charge stands | {ALREADY, used}
local VOIDED, KEPT, ALREADY = 1, 2, 3

local tokens, life, expiry = natural(ARGV[1]), natural(ARGV[4]), natural(ARGV[5])
local used, fresh = quota_held(KEYS[1])
local budgets = ARGV[7] ~= ''
local record = KEYS[budgets and 7 or 4]
redis.call('XLEN', KEYS[2])
budgets = budgets and budgets_check(4)
if redis.call('EXISTS', KEYS[3]) == 1 then return {ALREADY, used} end
if record and record_fail(record, ARGV[3], ARGV[6] == '1') then return {KEPT, used} end

redis.call('XADD', KEYS[2], '*', 'e', ARGV[2])
redis.call('SET', KEYS[3], '1', 'PX', life)
redis.call('HINCRBY', KEYS[1], 'v', 0 - tokens) -- not -tokens: minus zero is written '-0', which HINCRBY refuses
quota_add(KEYS[1], 0 - tokens, fresh, expiry)
if budgets then budgets_back(4, tokens, natural(ARGV[7])) end
return {VOIDED, used - tokens}
