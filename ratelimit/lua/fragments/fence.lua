-- fence: the versions of the facts a decision rests on. Versions only grow; unequal means the caller's facts are stale.
-- A leading zero marks a version that was announced before its account was published: it is unequal to every caller's.
-- An error before anything is written when a fence or its new version is no number.
local function fence_check(key, version)
  stored(redis.call('GET', key))
  natural(version)
end

local function fence_raise(key, version)
  local held = redis.call('GET', key)
  if not held or tonumber(held) <= tonumber(version) then redis.call('SET', key, version) end -- equal: no mark is left
end

local function fence_announce(key, version)
  local held = redis.call('GET', key)
  if held and tonumber(held) >= tonumber(version) then return end
  local published = held and string.sub(held, 1, 1) ~= '0'
  redis.call('SET', key, published and version or '0' .. version)
end
