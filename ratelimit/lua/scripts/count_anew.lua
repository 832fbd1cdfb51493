-- count_anew: what a key has used of a day or a month, counted from the log. Who counts claims the counter first, and reads the log
-- then; the sum is stored as long as the claim holds. No call is judged meanwhile, and a void ends the claim, as the log may
-- or may not have it.
-- KEYS  1 counter     ARGV  1 claim, 2 when it expires, Unix ms, 3 used ('' = it is being claimed), 4 the account's version
-- Result  the claim that holds: an older one, where others count at the moment; '' when it is counted already | 1 | 0: nothing
--         was stored, claim again
natural(ARGV[2])
if ARGV[3] == '' then
  local held = redis.call('HMGET', KEYS[1], 'p', 'f')
  if held[1] and held[2] == ARGV[4] then return '' end
  redis.call('HSETNX', KEYS[1], 'c', ARGV[1])
  redis.call('PEXPIREAT', KEYS[1], ARGV[2])
  return redis.call('HGET', KEYS[1], 'c')
end
natural(ARGV[3])
if redis.call('HGET', KEYS[1], 'c') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'p', ARGV[3], 'f', ARGV[4])
redis.call('HDEL', KEYS[1], 'c')
return 1
