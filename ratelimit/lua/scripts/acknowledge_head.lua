-- acknowledge_head: acknowledge a whole run of entries from the head of the stream in one step, however many. Only while
-- none of them can have left: the first is still the head, the last is still there, and nothing was deleted since.
-- KEYS  1 event stream, 2.. quotas
-- ARGV  1 first stream id, 2 last stream id, then five a quota: committed, revision, expiry ms, tokens of its entries
--       (signed), and of those that took tokens back
-- Result  1, or 0 with nothing changed: entries may have left, so each has to be acknowledged by itself
local function id_read(id)
  local ms, sequence = string.match(id, '^(%d+)-(%d+)$')
  if not ms then error('not an id of a stream entry: ' .. id) end
  return tonumber(ms), tonumber(sequence)
end

local first_ms, first_sequence = id_read(ARGV[1])
local last_ms, last_sequence = id_read(ARGV[2])
local quotas = {}
for i = 2, #KEYS do
  local at = 5 * i - 7
  quota_check(ARGV[at], ARGV[at + 1], ARGV[at + 2])
  stored(ARGV[at + 3])
  stored(ARGV[at + 4])
  quotas[i] = quota_read(KEYS[i])
end
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end

local facts, info = {}, redis.call('XINFO', 'STREAM', KEYS[1])
for i = 1, #info, 2 do facts[info[i]] = info[i + 1] end
local head, deleted = facts['first-entry'], facts['max-deleted-entry-id'] -- servers before version 7 do not say
if not head or head[1] ~= ARGV[1] or not deleted then return 0 end
local deleted_ms, deleted_sequence = id_read(deleted)
if deleted_ms > first_ms or (deleted_ms == first_ms and deleted_sequence >= first_sequence) then return 0 end
if #redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[2]) == 0 then return 0 end

redis.call('XTRIM', KEYS[1], 'MINID', string.format('%.0f-%.0f', last_ms, last_sequence + 1))
for i = 2, #KEYS do
  local at = 5 * i - 7
  quota_settle(quotas[i], tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4]))
  quota_commit(quotas[i], ARGV[at], ARGV[at + 1], ARGV[at + 2])
end
return 1
