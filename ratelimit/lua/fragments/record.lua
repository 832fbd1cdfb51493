-- record: an Idempotency-Key of an account, a hash of
--   f  fingerprint of the request     e  id of the event that was charged, a  its audit text
--   t  until when the request is in flight, Unix ms; absent once it has ended     n  how often it has run again
--   c  status and content type of the first successful answer, b  its body; absent while no answer is kept
-- In flight: refused. Ended with an answer: the answer. Otherwise the request has succeeded without an answer that could
-- be kept, or nobody knows how it ended: its charge stands, and it runs again, uncharged, MOST_RERUNS times.
local function record_read(key, fingerprint, now)
  local held = redis.call('HMGET', key, 'f', 'e', 'a', 't', 'n', 'c', 'b')
  if not held[1] then return nil end
  local until_ms, reruns = stored(held[4]), stored(held[5])
  local is_whole = held[2] and held[3] and string.find(held[2], '^[%w-]+$')
  if not is_whole or held[6] and not string.find(held[6], '^%d%d%d [ -~]*$') then error('not a record: ' .. key) end
  local record = {event = held[2], audit = held[3], head = held[6] or '', body = held[7] or ''}
  if held[1] ~= fingerprint then record.outcome = CONFLICT
  elseif held[4] and until_ms > now then record.outcome = IN_PROGRESS
  elseif held[6] then record.outcome = REPLAYED
  elseif reruns >= MOST_RERUNS then record.outcome = EXHAUSTED
  else record.outcome = RERUN end
  return record
end

local function record_open(key, fingerprint, event, audit, in_flight_until, life)
  redis.call('HSET', key, 'f', fingerprint, 'e', event, 'a', audit, 't', string.format('%.0f', in_flight_until))
  redis.call('PEXPIRE', key, life)
end

local function record_rerun(key, in_flight_until)
  redis.call('HINCRBY', key, 'n', 1)
  redis.call('HSET', key, 't', string.format('%.0f', in_flight_until))
end

-- The first run of the event has failed. True when the charge stands all the same, since the request has run again after
-- it was given up as unknown; false when it is to be voided, and the key is free, as it is `whatever` has become of it.
local function record_fail(key, event, whatever)
  local held = redis.call('HMGET', key, 'e', 't', 'n')
  if held[1] ~= event then return false end
  if not whatever and (not held[2] or stored(held[3]) > 0) then return true end
  redis.call('DEL', key)
  return false
end
