-- quota: tokens of one account in one window, a hash of
--   l  ledger: PostgreSQL's counter as last told     r  revision of that telling
--   p  pending: charged here, not yet drained        The sum l + p is what is judged.
local function quota_read(key)
  local held = redis.call('HMGET', key, 'l', 'p', 'r')
  return {
    key = key,
    used = stored(held[1]) + stored(held[2]),
    revision = held[3] and stored(held[3]),
    fresh = not (held[1] or held[2]),
  }
end

local function quota_add(quota, tokens, expire_at_ms)
  redis.call('HINCRBY', quota.key, 'p', tokens)
  if quota.fresh then redis.call('PEXPIREAT', quota.key, expire_at_ms) end
  quota.used = quota.used + tokens
end

-- An error before anything is written when what is to be told is no number.
local function quota_check(ledger, revision, expire_at_ms)
  stored(ledger)
  natural(revision)
  natural(expire_at_ms)
end

-- Stores PostgreSQL's counter unless a newer revision is known already.
local function quota_tell(quota, ledger, revision, expire_at_ms)
  if quota.revision and quota.revision >= tonumber(revision) then return end
  redis.call('HSET', quota.key, 'l', ledger, 'r', revision)
  redis.call('PEXPIREAT', quota.key, expire_at_ms)
end
