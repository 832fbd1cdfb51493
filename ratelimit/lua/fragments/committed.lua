-- committed: what PostgreSQL counts of a quota, stored by revision.
-- An error before anything is written when what is to be stored is no number.
local function quota_check(committed, revision, expire_at_ms)
  stored(committed)
  natural(revision)
  natural(expire_at_ms)
end

local function quota_read(key)
  local _, fresh, revision = quota_held(key)
  return {key = key, fresh = fresh, revision = revision, taken_back = stored(redis.call('HGET', key, 'v'))}
end

-- Pending falls by the tokens of entries that left the stream, of which some took tokens back.
local function quota_settle(quota, tokens, taken_back)
  if tokens ~= 0 then redis.call('HINCRBY', quota.key, 'p', string.format('%.0f', 0 - tokens)) end
  if taken_back ~= 0 then redis.call('HINCRBY', quota.key, 'v', string.format('%.0f', 0 - taken_back)) end
end

-- Stores PostgreSQL's counter unless a newer revision is known already.
local function quota_commit(quota, committed, revision, expire_at_ms)
  if quota.revision and quota.revision >= tonumber(revision) then return end
  redis.call('HSET', quota.key, 'l', committed, 'r', revision)
  redis.call('PEXPIREAT', quota.key, expire_at_ms)
end
