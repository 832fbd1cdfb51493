-- announce: raise an account's fence while nothing else of the account is told. Where Redis knows no fence it may have lost
-- the account's counters too, so the version is marked as one that calls are not judged by before the account is told.
-- KEYS  1 account fence     ARGV  1 version     Result  1
fence_check(KEYS[1], ARGV[1])
fence_announce(KEYS[1], ARGV[1])
return 1
