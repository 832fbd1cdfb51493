-- end_request: a request under an Idempotency-Key has ended; its answer is kept where there is one to keep.
-- KEYS  1 record     ARGV  1 event id, 2 answer's head ('' = none is kept), 3 answer's body
-- Result  1 | 0: the record is gone, or of another event, or no record
if redis.pcall('HGET', KEYS[1], 'e') ~= ARGV[1] then return 0 end
redis.call('HDEL', KEYS[1], 't')
if ARGV[2] ~= '' then redis.call('HSET', KEYS[1], 'c', ARGV[2], 'b', ARGV[3]) end
return 1
