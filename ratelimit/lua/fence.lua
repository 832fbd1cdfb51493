-- fence: the versions of the facts a decision rests on. Versions only grow; unequal means the caller's facts are stale.
-- An error before anything is written when a fence or its new version is no number.
local function fence_check(key, version)
  stored(redis.call('GET', key))
  natural(version)
end

local function fence_raise(key, version)
  local held = redis.call('GET', key)
  if not held or tonumber(held) < tonumber(version) then redis.call('SET', key, version) end
end

local function fence_differs(account_key, catalogue_key, account_version, catalogue_version)
  local held = redis.call('MGET', account_key, catalogue_key)
  if held[1] == account_version and held[2] == catalogue_version then return false end
  return {held[1] or '0', held[2] or '0'}
end
