-- read_quotas: what Redis holds of quotas, and the stream's last entry at the same instant. A charge moves both in one
-- step, so pending is what the stream holds up to that entry.
-- KEYS  1 event stream, 2.. quotas
-- Result  {id of the last entry ('' = none), then three a quota: committed, revision, pending (nil where it has none)}
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
local result = {last[1] and last[1][1] or ''}
for i = 2, #KEYS do
  for _, held in ipairs(redis.call('HMGET', KEYS[i], 'l', 'r', 'p')) do
    stored(held)
    result[#result + 1] = held
  end
end
return result
