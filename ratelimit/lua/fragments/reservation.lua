-- reservation: what a call may cost at most, held until it is finished, a hash of
--   e  audit text of its charge     b  its bound in tokens     x  when it expires, Unix ms     k  children that are open
--   h  tokens by the last heartbeat, u  its units as text; absent without one     p  1 once it draws of its parent's bound
--   s  how it was finished, absent while it is open: then  c  what it was charged, q  what it had cost, d  digest of how it was asked
-- Of a shard, a sorted set says when which of them is due; what is none there is mended, and their rows tell it later.
local KEPT_MS = 86400000 -- a day: so long after it was finished, and seven times as long after it was due

local function reservation_read(key)
  local held = redis.call('HMGET', key, 'b', 'x', 'k', 'h', 's', 'c', 'q', 'd', 'p')
  if not held[1] and not held[2] then return nil end
  return {bound = stored(held[1]), expires_at = stored(held[2]), children = stored(held[3]), beaten = held[4],
    state = held[5], charged = stored(held[6]), cost = stored(held[7]), digest = held[8] or '', draws = held[9]}
end

local function reservation_keep(key, expires_at)
  redis.call('PEXPIREAT', key, string.format('%.0f', expires_at + 7 * KEPT_MS))
end

local function reservation_open(key, due, member, audit, bound, expires_at)
  redis.call('HSET', key, 'e', audit, 'b', string.format('%.0f', bound), 'x', expires_at)
  redis.pcall('ZADD', due, expires_at, member)
  reservation_keep(key, expires_at)
end

local function reservation_now(given)
  if given ~= '0' then return natural(given) end
  local clock = redis.call('TIME')
  return clock[1] * 1000 + math.floor(clock[2] / 1000)
end

-- Moves tokens into a bound: an event of the stream and the number. What is moved out is below zero.
local function reservation_extend(key, stream, before, tokens, after)
  local text = string.format('%.0f', tokens)
  redis.call('XADD', stream, '*', 'e', before .. text .. after)
  redis.call('HINCRBY', key, 'b', text)
end
