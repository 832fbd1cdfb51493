-- publish: what PostgreSQL knows of an account, in one step: its fences, its counters by revision, the records that Redis
-- lacks. Calls are judged from the moment the fences are raised. Nothing older ever replaces anything newer.
-- KEYS  1 account fence, 2 catalogue fence, 3.. quotas, then records (see records)
-- ARGV  1 account version, 2 catalogue version, 3 number of quotas, then three a quota: committed, revision, expiry ms,
--       then records
-- Result  1
local count = natural(ARGV[3])
local first_key, first_word = 3 + count, 4 + 3 * count
records_check(first_key, first_word)
fence_check(ARGV[1])
fence_check(ARGV[2])
local quotas = {}
for i = 3, 2 + count do
  local at = 3 * i - 5
  quota_check(ARGV[at], ARGV[at + 1], ARGV[at + 2])
  quotas[i] = quota_read(KEYS[i])
end

for i = 3, 2 + count do
  local quota, at = quotas[i], 3 * i - 5
  local committed, revision = ARGV[at], tonumber(ARGV[at + 1])
  if quota.taken_back < 0 and (quota.revision or 0) < revision then
    -- The counter may hold these voids already: a drain died before it acknowledged them, or this is old data. So they
    -- make no room, until the drain publishes the counter at its own revision.
    committed, revision, quota.revision = string.format('%.0f', committed - quota.taken_back), revision - 1, nil
  end
  quota_commit(quota, committed, string.format('%.0f', revision), ARGV[at + 2])
end
records_bring(first_key, first_word)
fence_raise(KEYS[1], ARGV[1])
fence_raise(KEYS[2], ARGV[2])
return 1
