-- budgets_back: tokens go back to the budgets that a charge has drawn on (see budgets), where they are held; below zero, more
-- is taken of them. Whoever counts
-- one anew meanwhile begins again. From `first` on KEYS hold the counters of the day and of the month, and the run.
-- Whether any is held, and an error where one is none.
local function budgets_check(first)
  if redis.call('EXISTS', KEYS[first], KEYS[first + 1], KEYS[first + 2]) == 0 then return false end
  for i = first, first + 2 do
    stored(redis.call('HGET', KEYS[i], i < first + 2 and 'p' or 't'))
    if i == first + 2 then stored(redis.call('HGET', KEYS[i], 'o')) end
  end
  return true
end

local function budgets_back_to_run(run, back, closed)
  if redis.call('EXISTS', run) == 0 then return end
  redis.call('HINCRBY', run, 't', back)
  if closed > 0 then redis.call('HINCRBY', run, 'o', 0 - closed) end
end

-- `closed`: reservations of the run that are open no more. The run's calls stay, as a minute that was used.
local function budgets_back(first, tokens, closed)
  local back = string.format('%.0f', 0 - tokens) -- never '-0', which HINCRBY refuses
  for i = first, first + 1 do
    redis.call('HDEL', KEYS[i], 'c')
    if redis.call('HEXISTS', KEYS[i], 'p') == 1 then redis.call('HINCRBY', KEYS[i], 'p', back) end
  end
  budgets_back_to_run(KEYS[first + 2], back, closed)
end

-- What budgets have left for a reservation that wants more, where they are held; from `word` on ARGV has their maxima, '' = none.
local function budgets_room(first, word, room)
  for i = 0, 2 do
    local held = ARGV[word + i] ~= '' and redis.call('HGET', KEYS[first + i], i < 2 and 'p' or 't')
    if held then room = math.min(room, natural(ARGV[word + i]) - stored(held)) end
  end
  return room
end
