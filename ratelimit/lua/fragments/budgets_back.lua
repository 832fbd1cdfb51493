-- budgets_back: tokens go back to the budgets that a charge has drawn on (see budgets), where they are held. Whoever counts
-- one anew meanwhile begins again. From `first` on KEYS hold the counters of the day and of the month, and the run.
local function budgets_check(first)
  for i = first, first + 2 do
    stored(redis.call('HGET', KEYS[i], i < first + 2 and 'p' or 't'))
    if i == first + 2 then stored(redis.call('HGET', KEYS[i], 'o')) end
  end
end

-- `closed`: reservations of the run that are open no more. The run's calls stay, as a minute that was used.
local function budgets_back(first, tokens, closed)
  local back = string.format('%.0f', 0 - tokens)
  for i = first, first + 1 do
    redis.call('HDEL', KEYS[i], 'c')
    if redis.call('HEXISTS', KEYS[i], 'p') == 1 then redis.call('HINCRBY', KEYS[i], 'p', back) end
  end
  if redis.call('EXISTS', KEYS[first + 2]) == 1 then
    redis.call('HINCRBY', KEYS[first + 2], 't', back)
    if closed > 0 then redis.call('HINCRBY', KEYS[first + 2], 'o', 0 - closed) end
  end
end
