-- quotas: the further quotas of a call, from the second on. Most calls have none, and the first is read without a table,
-- which would cost each call 0.4 us.
-- A list, at i the i-th quota's used, whether nothing is held yet, and its expiry; with which of them refuse, as in admit.
local function quotas_read(word, count, cost)
  local more = {violated = 0}
  for i = 2, count do
    local maximum, expiry = limit_read(word, i)
    local used, fresh = quota_held(KEYS[5 + i])
    if used + cost > EXACT then error('a counter would leave the exact numbers: ' .. KEYS[5 + i]) end
    if cost > 0 and used + cost > maximum then more.violated = more.violated + 2 ^ i end
    more[i] = {used, fresh, expiry}
  end
  return more
end

local function quotas_take(more, count, cost)
  for i = 2, count do
    quota_add(KEYS[5 + i], cost, more[i][2], more[i][3])
    more[i][1] = more[i][1] + cost
  end
end

local function quotas_standings(more, count)
  local standings = ''
  for i = 2, count do standings = standings .. struct.pack('>i8', more[i][1]) end
  return standings
end
