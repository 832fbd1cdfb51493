-- limit: one limit as a word, "ring|quota maximum amount period": maximum nothing = unlimited, amount what the call takes,
-- period a ring's window in ms, or the instant in Unix ms when a quota's counter expires. One match is its whole check.
local LARGEST = 999999999999999 -- fifteen digits: sums of a few of them are exact

local function limit_read(word)
  local kind, maximum, amount, period = string.match(word, '^(%l+) (%d*) (%d+) (%d+)$')
  maximum, amount, period = tonumber(maximum), tonumber(amount), tonumber(period)
  local ring = kind == 'ring'
  if not period or not (ring or kind == 'quota') or math.max(maximum or 0, amount, period) > LARGEST then
    error('not a limit: ' .. word)
  end
  if ring and (amount > 1 or not maximum) then error('a ring has a maximum and takes one at a time') end
  return ring, maximum, amount, period
end
