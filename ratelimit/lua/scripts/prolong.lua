-- prolong: a heartbeat of a reservation: keeps how far it has come, and lets it live longer. Above its bound it takes the
-- difference from its quota, or a child from its parent's bound; where there is not so much, the progress is kept alone.
-- KEYS  1 reservation, 2 due reservations, 3 event stream, 4 quota; 5, 6, 7 the budgets that it draws on (see
--       budgets_back), 8 account fence; of a child 9 its parent
-- ARGV  1 now ms (0 = this server's clock), 2 expires at ms, 3 tokens so far, 4 units as text,
--       5 quota's maximum, 6 quota's expiry ms, 7 name among those due, 8 and 9 the text of the event that raises the bound,
--       before and after its tokens; 10, 11, 12 the maxima of its budgets, '' = none; 13 the account's
--       version that all this rests on; of a child 14 and 15 the text of its parent's, and 16 '1' when it begins to draw of
--       it, which is no heartbeat
-- Result  {status, bound, expires at, quota's used, what was lacking, children, charged, cost, digest, state}
local OK, GONE, FINISHED, EXPIRED, REFUSED, NO_PARENT, STALE = 1, 2, 3, 4, 5, 6, 7

local now, until_ms, tokens, most, expiry = reservation_now(ARGV[1]), natural(ARGV[2]), natural(ARGV[3]), tonumber(ARGV[5]), natural(ARGV[6])
if not most or most < 0 then error('not a maximum: ' .. ARGV[5]) end
local used, fresh = quota_held(KEYS[4])
local budgets = budgets_check(5)
local held = reservation_read(KEYS[1])
if not held then return {GONE, 0, 0, used, 0} end
local function answer(status, lacking)
  return {status, held.bound, held.expires_at, used, lacking or 0, held.children, held.charged, held.cost, held.digest, held.state or ''}
end
if held.state then return answer(FINISHED) end
if redis.call('GET', KEYS[8]) ~= ARGV[13] then return answer(STALE) end -- PostgreSQL may have ended it
if now >= held.expires_at then return answer(EXPIRED) end

local need, parent = math.max(tokens - held.bound, 0), nil
if KEYS[9] then
  parent = reservation_read(KEYS[9])
  if not parent or parent.state or now >= parent.expires_at then return answer(NO_PARENT) end
  until_ms = math.min(until_ms, parent.expires_at)
end
local begins = ARGV[16] == '1'
if not begins then redis.call('HSET', KEYS[1], 'h', ARGV[3], 'u', ARGV[4]) end
local room = parent and parent.bound or budgets and budgets_room(5, 10, most - used) or most - used
if need > 0 and need > room then return answer(REFUSED, need - math.max(room, 0)) end

if need > 0 then
  reservation_extend(KEYS[1], KEYS[3], ARGV[8], need, ARGV[9])
  if parent then
    reservation_extend(KEYS[9], KEYS[3], ARGV[14], 0 - need, ARGV[15])
    redis.call('HINCRBY', KEYS[4], 'v', string.format('%.0f', 0 - need))
    quota_add(KEYS[4], 0, fresh, expiry)
  else
    quota_add(KEYS[4], need, fresh, expiry)
    if budgets then budgets_back(5, 0 - need, 0) end
    used = used + need
  end
  held.bound = held.bound + need
end
if begins and not held.draws then
  redis.call('HSET', KEYS[1], 'p', 1)
  redis.call('HINCRBY', KEYS[9], 'k', 1)
end
if until_ms > held.expires_at or parent then
  held.expires_at = until_ms
  redis.call('HSET', KEYS[1], 'x', string.format('%.0f', until_ms))
  redis.pcall('ZADD', KEYS[2], string.format('%.0f', until_ms), ARGV[7])
  reservation_keep(KEYS[1], until_ms)
end
return answer(OK)
