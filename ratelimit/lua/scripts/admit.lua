-- admit: judge every limit, then charge all or none, and write the audit event in the same step.
-- KEYS  1 account fence, 2 catalogue fence, 3 ring's head, 4 its body, 5 event stream, then quotas, budgets; last a key's record
-- ARGV  1 account version, 2 catalogue version, 3 limits, 4 call (see limits), 5 audit event ('' = none); with a record
--       or a reservation 6 event id, 7 fingerprint, 8 how long a request may be in flight, ms, 9, 10 see keyed, 11 budgets' word
-- Result  {STALE, account version, catalogue version} | {SKEWED, now ms}
--       | standings: outcome, now ms, which limits refuse (1 the ring, 2 the first quota, 4 the next ...), the ring's used
--         and wait in ms (-1 = in vain), then each quota's used; packed >I1I8I1i8i8, then i8 a quota, budgets
--       | {standings, event id, audit event, answer's head, answer's body} when the key's record decides or runs again
local call, outcome, record = redis.call, ADMITTED, nil
local held = call('MGET', KEYS[1], KEYS[2], KEYS[3])
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then return {STALE, held[1] or '0', held[2] or '0'} end

local charged_at, now, requests, cost = call_read(ARGV[4])
local clock = now == 0 and call('TIME')
if clock then now = clock[1] * 1000 + math.floor(clock[2] / 1000) end
if math.abs(now - charged_at) > LARGEST_SKEW_MS then return {SKEWED, now} end
if ARGV[6] then outcome, requests, cost, record = keyed_outcome(now, requests, cost) end

local violated, maximum, window = 0, limit_read(ARGV[3], 0)
local head, body = window > 0 and held[3], KEYS[4] -- without a window there is no ring
if not head and window > 0 then call('STRLEN', KEYS[3]) end -- MGET says nothing of what is no string
local capacity, place, used, oldest, at, ahead = ring_read(body, head, window, now)
local takes = requests > 0 and window > 0
if takes and used >= maximum then violated = 1 end
if takes and (used == capacity or place % BLOCK == BLOCK - 1) or used > maximum then call('STRLEN', body) end -- before a write
local count, most, expiry = #ARGV[3] / 16 - 1, limit_read(ARGV[3], 1)
if count % 1 ~= 0 then error('not the limits of a call') end
local tokens, fresh = quota_held(KEYS[6])
if tokens + cost > EXACT then error('a counter would leave the exact numbers: ' .. KEYS[6]) end
if cost > 0 and tokens + cost > most then violated = violated + 2 end
local more = count > 1 and quotas_read(ARGV[3], count, cost)
if more then violated = violated + more.violated end

local budgets = ARGV[11] and budgets_read(6 + count, ARGV[11], requests, cost, now, record)
if violated > 0 or budgets and budgets.violated > 0 then outcome = budgets and budgets.uncounted or REFUSED end
if outcome == ADMITTED or outcome == RERUN then
  if not record and ARGV[5] ~= '' then call('XADD', KEYS[5], '*', 'e', ARGV[5]) end -- first, as it may fail
  if ARGV[6] then keyed_write(now, record, cost) end
  if takes then
    if used == 0 then oldest = at % WRAP end
    if used == capacity then capacity, place, head = ring_grow(body, head, capacity, place, maximum, ahead + window) end
    used = used + 1
    head = ring_put(body, head, capacity, place, used, oldest, at, ahead + window)
    call('SET', KEYS[3], head, 'PX', ahead + window)
  end
  if cost > 0 then quota_add(KEYS[6], cost, fresh, expiry) end
  if cost > 0 and more then quotas_take(more, count, cost) end
  if budgets then budgets_take(budgets) end
  tokens = tokens + cost
end

local wait = maximum == 0 and -1 or 0
if wait == 0 and used > 0 then
  local next = used > maximum and ring_stamp(body, head, capacity, place, used, used - maximum) or oldest
  wait = ahead + window - (at - next) % WRAP
end
local standings = struct.pack('>I1I8I1i8i8i8', outcome, now, violated, used, wait, tokens)
if more then standings = standings .. quotas_standings(more, count) end
if budgets then standings = standings .. budgets_standings(budgets) end
return record and {standings, record.event, record.audit, record.head, record.body} or standings
