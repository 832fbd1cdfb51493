-- revision: the revision at which Redis was last told a counter of PostgreSQL's; 0 where it knows none.
-- KEYS  1 quota     Result  revision
return stored(redis.call('HGET', KEYS[1], 'r'))
