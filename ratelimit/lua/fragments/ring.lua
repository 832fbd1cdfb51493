-- ring: an exact sliding window, O(1) a decision, in two strings: the head is read and written at every call, the body at
-- every eighth. A stamp is 4 bytes: milliseconds modulo 2^32; ages are unsigned differences, so the wrap is harmless.
--   head  capacity, place of the next stamp, count, the oldest stamp, the time of the last one in full; then the stamps
--         since the place was last a multiple of 8         body  a circle of `capacity` stamps, which is one, too
local WRAP, HEADER, HEAD, BLOCK, DAY_MS = 4294967296, '>I4I4I4I4d', 24, 8, 86400000

-- The i-th of those that count, from 0. One that has expired with the body has left the window: nil.
local function ring_stamp(body, head, capacity, place, used, i)
  local behind, newest = used - i, place % BLOCK
  if behind <= newest then return (struct.unpack('>I4', head, HEAD + 4 * (newest - behind) + 1)) end
  local at = 4 * ((place - behind) % capacity)
  local bytes = redis.call('GETRANGE', body, at, at + 3)
  return #bytes == 4 and struct.unpack('>I4', bytes) or nil
end

-- Capacity, place, how many count now, the oldest of them, the instant they are counted at, and by how much that is ahead:
-- a server clock that stepped back must not free a slot early, so time stands still until it has caught up, for a day.
-- An error for what no script has written.
local function ring_read(body, head, window, now)
  if not head then return 0, 0, 0, 0, now, 0 end
  local capacity, place, used, oldest, last = struct.unpack(HEADER, head)
  if place >= capacity or used > capacity or #head ~= HEAD + 4 * (place % BLOCK) or last > now + DAY_MS then
    error('not a ring')
  end
  local at = math.max(now, last)
  if at - last >= window then return capacity, place, 0, 0, at, at - now end
  if used == 0 or (at - oldest) % WRAP < window then return capacity, place, used, oldest, at, at - now end
  local low, high, step = 1, used, 1 -- mostly few leave at a time, so the search begins beside the oldest
  while low < high do
    local middle = math.min(low + step - 1, math.floor((low + high) / 2))
    local stamp = ring_stamp(body, head, capacity, place, used, middle)
    if stamp and (at - stamp) % WRAP < window then high, oldest = middle, stamp else low, step = middle + 1, 2 * step end
  end
  return capacity, place, used - low, oldest, at, at - now
end
