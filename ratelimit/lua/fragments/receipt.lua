-- receipt: what an idempotency key has bought, a hash of
--   f  fingerprint of the request     e  id of the event that was charged, a  its audit text
--   n  runs that have not failed
-- The charge is voided only when every run of it has failed, so a failing replay never makes a served call free.
local function receipt_read(key)
  local held = redis.call('HMGET', key, 'f', 'e', 'a')
  if not held[1] then return nil end
  return {fingerprint = held[1], event = held[2], audit = held[3]}
end

local function receipt_open(key, fingerprint, event, audit, ttl_ms)
  redis.call('HSET', key, 'f', fingerprint, 'e', event, 'a', audit, 'n', 1)
  redis.call('PEXPIRE', key, ttl_ms)
end

local function receipt_run(key)
  redis.call('HINCRBY', key, 'n', 1)
end

-- True when other runs of the same event stand, false when the last one has failed and the key is free again.
local function receipt_fail(key, event)
  if redis.call('HGET', key, 'e') ~= event then return false end
  if redis.call('HINCRBY', key, 'n', -1) > 0 then return true end
  redis.call('DEL', key)
  return false
end
