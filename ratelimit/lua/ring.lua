-- ring: an exact sliding window in one string, O(1) a decision.
-- A header (capacity, first, count, the oldest stamp, and the time of the last one in full), then `capacity` stamps of
-- 4 bytes: milliseconds modulo 2^32, the oldest at `first`. Ages are unsigned differences, so the wrap after 49 days is harmless.
local WRAP, HEADER, HEAD = 4294967296, '>I4I4I4I4d', 24

local function ring_stamp(ring, i)
  local at = HEAD + 4 * ((ring.first + i) % ring.capacity)
  return (struct.unpack('>I4', redis.call('GETRANGE', ring.key, at, at + 3)))
end

local function ring_read(key, now, window)
  local ring = {key = key, now = now, lag = 0, window = window, capacity = 0, first = 0, count = 0, oldest = 0}
  local head = redis.call('GETRANGE', key, 0, HEAD - 1)
  if #head < HEAD then return ring end
  local last
  ring.capacity, ring.first, ring.count, ring.oldest, last = struct.unpack(HEADER, head)
  -- A server clock that stepped back must not free a slot early: time stands still until it has caught up.
  if now < last then ring.lag, ring.now = last - now, last end
  if ring.now - last >= window then
    ring.count = 0
  elseif ring.count > 0 and (ring.now - ring.oldest) % WRAP >= window then
    local low, high = 1, ring.count
    while low < high do
      local middle = math.floor((low + high) / 2)
      if (ring.now - ring_stamp(ring, middle)) % WRAP >= window then low = middle + 1 else high = middle end
    end
    ring.first, ring.count = (ring.first + low) % ring.capacity, ring.count - low
    ring.oldest = ring_stamp(ring, 0)
  end
  return ring
end

-- Milliseconds until more is available: until the next slot is free when full, until the oldest one is freed
-- otherwise; -1 when waiting cannot help. A limit lowered below the count waits for the surplus to age as well.
local function ring_wait(ring, limit)
  if limit == 0 then return -1 end
  if ring.count == 0 then return 0 end
  local next = ring.count > limit and ring_stamp(ring, ring.count - limit) or ring.oldest
  return ring.lag + ring.window - (ring.now - next) % WRAP
end

local function ring_grow(ring, limit)
  local capacity = math.min(limit, math.max(8, ring.capacity * 2))
  local body = redis.call('GETRANGE', ring.key, HEAD, -1)
  body = string.sub(body, 4 * ring.first + 1) .. string.sub(body, 1, 4 * ring.first)
  redis.call('SET', ring.key, string.rep('\0', HEAD) .. body)
  ring.capacity, ring.first = capacity, 0
end

local function ring_take(ring, limit)
  if ring.count == ring.capacity then ring_grow(ring, limit) end
  local at = HEAD + 4 * ((ring.first + ring.count) % ring.capacity)
  local stamp = ring.now % WRAP
  if ring.count == 0 then ring.oldest = stamp end
  ring.count = ring.count + 1
  redis.call('SETRANGE', ring.key, at, struct.pack('>I4', stamp))
  redis.call('SETRANGE', ring.key, 0, struct.pack(HEADER, ring.capacity, ring.first, ring.count, ring.oldest, ring.now))
  redis.call('PEXPIRE', ring.key, ring.lag + ring.window)
end
