-- read_quotas: what Redis holds of quotas, and the stream's last entry at the same instant. A charge moves both in one
-- step, so pending is what the stream holds up to that entry.
-- KEYS  1 event stream, 2.. quotas
-- Result  {id of the last entry ('' = none), then three a quota: committed, revision, pending (nil where it has none)};
--         what is no stream has no entry, and what is no quota none of the three
local last = redis.pcall('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
local result = {last[1] and last[1][1] or ''}
for i = 2, #KEYS do
  local held = pcall(quota_read, KEYS[i]) and redis.call('HMGET', KEYS[i], 'l', 'r', 'p') or {false, false, false}
  for _, number in ipairs(held) do result[#result + 1] = number end
end
return result
