-- correct_pending: put a quota right in one step. Pending becomes what the stream holds, and PostgreSQL's counter is
-- stored when its revision is newer. What the stream holds was added up outside, with the drains held off; so nothing is changed
-- when pending is no longer what was looked at, or the stream not the same one. What is no quota is replaced.
-- KEYS  1 event stream, 2 quota
-- ARGV  1 the stream's last entry as looked at ('' = none), 2 pending as looked at ('' = none), 3 pending as it has to
--       be, then the counter: 4 committed, 5 revision, 6 expiry ms; 7 the part of pending that was taken back
-- Result  1 | 0: nothing was changed, look again
stored(ARGV[3])
stored(ARGV[7])
quota_check(ARGV[4], ARGV[5], ARGV[6])
local sound, quota = pcall(quota_read, KEYS[2])
if ARGV[1] ~= '' and #redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1]) == 0 then return 0 end
if (sound and redis.call('HGET', KEYS[2], 'p') or '') ~= ARGV[2] then return 0 end

if not sound then
  redis.call('DEL', KEYS[2])
  quota = {key = KEYS[2], fresh = true}
end
redis.call('HSET', KEYS[2], 'p', ARGV[3], 'v', ARGV[7])
if quota.fresh then redis.call('PEXPIREAT', KEYS[2], ARGV[6]) end
quota_commit(quota, ARGV[4], ARGV[5], ARGV[6])
return 1
