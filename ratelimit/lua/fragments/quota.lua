-- quota: tokens of one account in one window, a hash of
--   l  committed: PostgreSQL's counter as last published     r  the revision it was published at
--   p  pending: charged by Redis, not yet drained            The sum l + p is what is judged.
--   v  the part of p that was taken back, zero or below
-- Used, whether nothing is held yet, and the revision (nil when nothing was published).
local function quota_held(key)
  local held = redis.call('HMGET', key, 'l', 'p', 'r')
  return stored(held[1]) + stored(held[2]), not (held[1] or held[2]), held[3] and stored(held[3])
end

local function quota_add(key, tokens, fresh, expire_at_ms)
  redis.call('HINCRBY', key, 'p', tokens)
  if fresh then redis.call('PEXPIREAT', key, expire_at_ms) end
end
