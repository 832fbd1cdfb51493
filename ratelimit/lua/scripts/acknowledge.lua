-- acknowledge: what PostgreSQL has committed leaves the stream; in the same step pending falls by what really left, and
-- each counter with a newer revision is stored, so the judged sum l + p never moves.
-- KEYS  1 event stream, 2.. quotas
-- ARGV  1 number of quotas, then three a quota: committed, revision, expiry ms; then three an entry: stream id,
--       position of its quota (0 = none: an entry set aside), tokens (signed)
-- Result  entries that really left
local count = natural(ARGV[1])
local entries = 2 + 3 * count
local quotas, left, back, done = {}, {}, {}, 0
redis.call('XLEN', KEYS[1])
for i = 1, count do
  local at = 3 * i - 1
  quota_check(ARGV[at], ARGV[at + 1], ARGV[at + 2])
  quotas[i], left[i], back[i] = quota_read(KEYS[i + 1]), 0, 0
end
for at = entries, #ARGV, 3 do
  if not string.find(ARGV[at], '^%d+%-%d+$') then error('not an id of a stream entry: ' .. ARGV[at]) end
  if natural(ARGV[at + 1]) > count then error('no such quota: ' .. ARGV[at + 1]) end
  stored(ARGV[at + 2])
end

for at = entries, #ARGV, 3 do
  if redis.call('XDEL', KEYS[1], ARGV[at]) == 1 then
    local i, tokens = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
    done = done + 1
    if i > 0 then left[i], back[i] = left[i] + tokens, back[i] + math.min(tokens, 0) end
  end
end
for i, quota in ipairs(quotas) do
  local at = 3 * i - 1
  quota_settle(quota, left[i], back[i])
  quota_commit(quota, ARGV[at], ARGV[at + 1], ARGV[at + 2])
end
return done
