-- limits: what a call is judged by and what it takes, two words of whole numbers of 8 bytes, so that no text such as 'nan'
-- gets in. LARGEST: fifteen digits, sums of a few stay exact. A quota's maximum of 2^53 - 1 means unlimited.
--   limits  a row a limit: first the ring, its maximum and its window in ms (0 = no ring), then the quotas, each its maximum
--           and the instant in Unix ms when its counter expires
--   call    charged_at ms, now ms (0 = this server's clock), requests to take of the ring (0 or 1), tokens of each quota
local LARGEST = 999999999999999

-- The i-th row, from 0.
local function limit_read(word, i)
  local maximum, second = struct.unpack('>I8I8', word, 16 * i + 1)
  if second > LARGEST or maximum > LARGEST and (maximum ~= EXACT or i == 0 and second > 0) then
    error('a number of a limit is not below 10^15')
  end
  return maximum, second
end

local function call_read(word)
  if #word ~= 32 then error('not what a call takes') end
  local charged_at, now, requests, cost = struct.unpack('>I8I8I8I8', word)
  if math.max(charged_at, now, cost) > LARGEST then error('a number of a call is not below 10^15') end
  if requests > 1 then error('a ring takes one request at a time') end
  return charged_at, now, requests, cost
end
