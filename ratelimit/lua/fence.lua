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
