-- raise_fences: raise fences of what has no counters (a shard's copy of the catalogue's); a lower version changes nothing.
-- KEYS  fences     ARGV  one version a fence     Result  1
for i = 1, #KEYS do fence_check(ARGV[i]) end
for i = 1, #KEYS do fence_raise(KEYS[i], ARGV[i]) end
return 1
