-- finish: the end of a reservation, once: what it has cost stays charged, the rest goes back to its quota, or to its parent's
-- bound. What it has cost above its bound is charged as far as the quota, or the parent's bound, still has it.
-- KEYS  1 reservation, 2 due reservations, 3 event stream, 4 quota, 5 marker of the charge's one adjustment; 6, 7, 8 what
--       budgets_back gives back to; 9 account fence; of a child 10 its parent
-- ARGV  1 now ms (0 = this server's clock), 2 the state it is in afterwards, 3 what it has cost, in tokens, 4 tokens of the
--       heartbeat that this rests on ('' = there was none, '-' = it rests on none), 5 quota's maximum, 6 quota's expiry ms,
--       7 name among those due, 8 and 9 the text of its adjustment, before its tokens, and up to the bound that
--       it ends, 10 marker's life ms, 11 digest of what is asked, 12 the account's version that all this rests on, 13 the
--       rest of the adjustment's text; of a child 14 and 15 the text of the event that moves its parent's bound
-- Result  as in prolong
local OK, GONE, FINISHED, EXPIRED, NOT_YET, CHILDREN, ELSEWHERE, MOVED_ON, STALE = 1, 2, 3, 4, 5, 6, 7, 8, 9

local now, cost, most, expiry, life = reservation_now(ARGV[1]), natural(ARGV[3]), tonumber(ARGV[5]), natural(ARGV[6]), natural(ARGV[10])
if not most or most < 0 then error('not a maximum: ' .. ARGV[5]) end
local used, fresh = quota_held(KEYS[4])
local budgets = budgets_check(6)
local held = reservation_read(KEYS[1])
if not held then return {GONE, 0, 0, used, 0} end
local function answer(status)
  return {status, held.bound, held.expires_at, used, 0, held.children, held.charged, held.cost, held.digest, held.state or ''}
end
local expires = ARGV[2] == 'expired'
if held.state then return answer(FINISHED) end
if redis.call('EXISTS', KEYS[5]) == 1 then return answer(ELSEWHERE) end
if redis.call('GET', KEYS[9]) ~= ARGV[12] then return answer(STALE) end -- PostgreSQL may have ended it
if expires and now < held.expires_at then return answer(NOT_YET) end
if not expires and now >= held.expires_at then return answer(EXPIRED) end
if held.children > 0 then return answer(CHILDREN) end
if ARGV[4] ~= '-' and (held.beaten or '') ~= ARGV[4] then return answer(MOVED_ON) end

local parent = KEYS[10] and held.draws and reservation_read(KEYS[10])
if parent and parent.state then parent = nil end
local room = parent and parent.bound or math.max(most - used, 0)
held.charged = held.bound + math.min(cost - held.bound, room)
held.cost, held.state, held.digest = cost, ARGV[2], ARGV[11]
local moved = held.charged - held.bound
local text = string.format('%.0f', moved)

redis.call('XADD', KEYS[3], '*', 'e', ARGV[8] .. text .. ARGV[9] .. string.format('%.0f', held.bound) .. ARGV[13])
redis.call('SET', KEYS[5], '1', 'PX', life)
if parent then
  redis.call('HINCRBY', KEYS[10], 'k', -1)
  if moved ~= 0 then
    reservation_extend(KEYS[10], KEYS[3], ARGV[14], 0 - moved, ARGV[15])
    redis.call('HINCRBY', KEYS[4], 'v', string.format('%.0f', 0 - math.abs(moved)))
    quota_add(KEYS[4], 0, fresh, expiry)
  end
else
  if moved < 0 then redis.call('HINCRBY', KEYS[4], 'v', text) end
  quota_add(KEYS[4], text, fresh, expiry)
  used = used + moved
end
if budgets then budgets_back(6, parent and 0 or 0 - moved, 1) end
redis.call('HSET', KEYS[1], 's', held.state, 'c', string.format('%.0f', held.charged), 'q', ARGV[3], 'd', ARGV[11])
redis.call('PEXPIRE', KEYS[1], KEPT_MS)
redis.pcall('ZREM', KEYS[2], ARGV[7])
return answer(OK)
