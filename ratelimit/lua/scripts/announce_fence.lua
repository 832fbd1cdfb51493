-- announce_fence: raise an account's fence while nothing else of the account is published. Where Redis knows no fence it may
-- have lost the account's counters too, so the version is marked as one by which no call is judged before it is published.
-- KEYS  1 account fence     ARGV  1 version     Result  1
fence_check(ARGV[1])
fence_announce(KEYS[1], ARGV[1])
return 1
