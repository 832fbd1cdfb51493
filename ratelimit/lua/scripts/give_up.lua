-- give_up: nobody was served by the first run of a charge under an Idempotency-Key. The key is free, whether or not the
-- charge is here yet, unless the request has run again since.
-- KEYS  1 record     ARGV  1 event id of the charge
-- Result  1 when the charge stands, as the request has run again; 0
return record_fail(KEYS[1], ARGV[1], false) and 1 or 0
