-- acknowledge: what PostgreSQL has committed leaves the stream; in the same step pending falls by what really left, and
-- each counter with a newer revision is stored, so the judged sum l + p never moves.
-- KEYS  1 event stream, 2.. quotas
-- ARGV  1 number of quotas, then three a quota: ledger, revision, expiry ms; then three an entry: stream id,
--       position of its quota (0 = none: an entry set aside), tokens (signed)
-- Result  entries that really left
local quotas = natural(ARGV[1])
local left, done = {}, 0
redis.call('XLEN', KEYS[1])
for i = 1, quotas do
  quota_read(KEYS[i + 1])
  left[i] = 0
end
for at = 2 + 3 * quotas, #ARGV, 3 do
  if redis.call('XDEL', KEYS[1], ARGV[at]) == 1 then
    local i = tonumber(ARGV[at + 1])
    done = done + 1
    if i > 0 then left[i] = left[i] + tonumber(ARGV[at + 2]) end
  end
end
for i = 1, quotas do
  local at = 3 * i - 1
  if left[i] ~= 0 then redis.call('HINCRBY', KEYS[i + 1], 'p', string.format('%.0f', -left[i])) end
  quota_tell(KEYS[i + 1], ARGV[at], ARGV[at + 1], ARGV[at + 2])
end
return done
