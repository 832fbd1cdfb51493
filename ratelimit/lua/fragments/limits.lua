-- limits: both limits of a call as one word, and its moment as another: whole numbers of 8 bytes, so that no text such as
-- 'nan' gets in. LARGEST: fifteen digits, sums of a few stay exact. A maximum of 2^53 - 1 means unlimited.
--   limits  the minute's maximum, what is taken of it (0 or 1), its window in ms;
--           the quota's maximum, what is taken of it, the instant in Unix ms when its counter expires
--   moment  charged_at ms, now ms (0 = this server's clock)
local LARGEST = 999999999999999

local function limits_read(word, moment)
  if #word ~= 48 or #moment ~= 16 then error('not the limits and the moment of a call') end
  local maximum, request, window, quota, cost, expiry = struct.unpack('>I8I8I8I8I8I8', word)
  local charged_at, now = struct.unpack('>I8I8', moment)
  if math.max(maximum, window, quota == EXACT and 0 or quota, cost, expiry, charged_at, now) > LARGEST then
    error('a number of a call is not below 10^15')
  end
  if request > 1 then error('a minute takes one request at a time') end
  return charged_at, now, maximum, request, window, quota, cost, expiry
end
