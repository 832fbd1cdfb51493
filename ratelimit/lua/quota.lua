-- quota: tokens of one account in one window, a hash of
--   l  ledger: PostgreSQL's counter as last told     r  revision of that telling
--   p  pending: charged here, not yet drained        The sum l + p is what is judged.
local function quota_read(key, maximum, amount, expire_at_ms)
  local held = redis.call('HMGET', key, 'l', 'p', 'r')
  local pending = stored(held[2])
  return {
    key = key,
    maximum = maximum,
    amount = amount,
    expire_at_ms = expire_at_ms,
    pending = pending,
    used = stored(held[1]) + pending,
    revision = held[3] and stored(held[3]),
    fresh = not (held[1] or held[2]),
  }
end

local function quota_add(quota, tokens, expire_at_ms)
  redis.call('HINCRBY', quota.key, 'p', tokens)
  if quota.fresh then redis.call('PEXPIREAT', quota.key, expire_at_ms) end
  quota.used = quota.used + tokens
end
