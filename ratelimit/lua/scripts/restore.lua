-- restore: bring back records of Idempotency-Keys that Redis lacks, and free those that PostgreSQL has released.
-- KEYS, ARGV  see records     Result  1
records_check(1, 1)
records_bring(1, 1)
return 1
