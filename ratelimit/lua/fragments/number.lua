-- number: the only way text becomes a number here. tonumber() alone would take 'nan', '0x10', '1e3' and ' 5 '.
-- Fifteen digits stay below 2^53, so sums of a few of them are exact.
local function natural(text)
  if type(text) ~= 'string' or #text > 15 or not string.find(text, '^%d+$') then
    error('not a natural number below 10^15: ' .. tostring(text))
  end
  return tonumber(text)
end
