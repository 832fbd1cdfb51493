-- counter: what is stored of a counter, which may stand below zero, as a number; nothing stored is zero. Only as Redis itself
-- writes it: HINCRBY refuses a leading zero, and would do so after other keys were written.
local EXACT = 9007199254740991 -- 2^53 - 1

local function stored(value)
  if not value then return 0 end
  local number = (value == '0' or string.find(value, '^-?[1-9]%d*$')) and tonumber(value)
  if not number or math.abs(number) > EXACT then error('not a counter within 2^53: ' .. value) end
  return number
end
