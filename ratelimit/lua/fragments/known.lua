-- known: of a caller's first call of an account, which was not published by its process: whether this server knows at least
-- the revision of the quota's counter that PostgreSQL has. The last word is that revision; it is taken off.
-- Result where it does not, as where the account was never published: {STALE, '0', catalogue version}
local known = table.remove(ARGV)
if stored(redis.call('HGET', KEYS[6], 'r')) < natural(known) then return {STALE, '0', ARGV[2]} end
