-- fence: the versions of the facts a decision rests on. Versions only grow; unequal means the caller's facts are stale.
-- A leading zero marks a version that was announced before its account was published: it is unequal to every caller's.
-- What is no version, of whatever type, is no fence: a raise replaces it, and the account is published anew.
-- An error before anything is written when a new version is no number.
local function fence_check(version)
  if natural(version) > LARGEST_VERSION then error('not a natural number below 10^14: ' .. version) end
end

local function fence_held(key)
  local held = redis.pcall('GET', key)
  local is_version = type(held) == 'string' and string.find(held, '^%d+$') and tonumber(held) <= LARGEST_VERSION
  return is_version and held or nil
end

local function fence_raise(key, version)
  local held = fence_held(key)
  if not held or tonumber(held) <= tonumber(version) then redis.call('SET', key, version) end -- equal: no mark is left
end

local function fence_announce(key, version)
  local held = fence_held(key)
  if held and tonumber(held) >= tonumber(version) then return end
  local published = held and string.sub(held, 1, 1) ~= '0'
  redis.call('SET', key, published and version or '0' .. version)
end
