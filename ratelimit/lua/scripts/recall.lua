-- recall: bring back receipts that Redis lacks.
-- KEYS, ARGV  see bought     Result  1 for each that was brought back, else 0
bought_check(1, 1)
return bought_bring(1, 1)
