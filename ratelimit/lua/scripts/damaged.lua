-- damaged: which keys hold what no script has written there, so that every call or drain that reads them fails.
-- KEYS  keys of one shard, of any kind     ARGV  1 '1': where one of them is damaged, all of them are removed
-- Result  the damaged ones, each followed by its type
local function fence(key)
  if redis.call('EXISTS', key) == 1 and not fence_held(key) then error('not a fence') end
end

local function ring(key) ring_read(nil, redis.call('GET', key), 0, redis.call('TIME')[1] * 1000) end
local function numbers(key, ...)
  for _, number in ipairs({...}) do stored(redis.call('HGET', key, number)) end
end

local CHECKS = {
  v = fence,
  catalogue = fence,
  m = ring,
  km = ring,
  b = function(key) redis.call('STRLEN', key) end,
  kb = function(key) redis.call('STRLEN', key) end,
  k = function(key) numbers(key, 'p') end,
  n = function(key) numbers(key, 't', 'c', 'o', 'r') end,
  q = quota_read,
  i = function(key) return record_read(key, '', 0) and cjson.decode(redis.call('HGET', key, 'a')) end,
  r = reservation_read,
  due = function(key) redis.call('ZCARD', key) end,
  events = function(key) redis.call('XLEN', key) end,
}
local found = {}
for _, key in ipairs(KEYS) do
  local check = CHECKS[string.match(key, '^{[^}]*}:(%a+)')]
  if check and not pcall(check, key) then
    found[#found + 1], found[#found + 2] = key, redis.call('TYPE', key).ok
  end
end
if found[1] and ARGV[1] == '1' then redis.call('DEL', unpack(KEYS)) end
return found
