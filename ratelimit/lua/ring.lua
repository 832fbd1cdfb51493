-- ring: an exact sliding window in one string, O(1) a decision.
-- A header (capacity, first, count, the oldest stamp, and the time of the last one in full), then `capacity` stamps of
-- 4 bytes: milliseconds modulo 2^32, the oldest at `first`. Ages are unsigned differences, so the wrap after 49 days is harmless.
local WRAP, HEADER, HEAD = 4294967296, '>I4I4I4I4d', 24

local function ring_stamp(ring, i)
  local at = HEAD + 4 * ((ring.first + i) % ring.capacity)
  return (struct.unpack('>I4', redis.call('GETRANGE', ring.key, at, at + 3)))
end

local function ring_read(key, maximum, amount, window, now)
  local head, lag = redis.call('GETRANGE', key, 0, HEAD - 1), 0
  local capacity, first, used, oldest, last = 0, 0, 0, 0, 0
  if #head == HEAD then capacity, first, used, oldest, last = struct.unpack(HEADER, head) end
  -- A server clock that stepped back must not free a slot early: time stands still until it has caught up.
  if now < last then now, lag = last, last - now end
  if now - last >= window then used = 0 end
  local ring = {key = key, maximum = maximum, amount = amount, window = window, now = now, lag = lag,
    capacity = capacity, first = first, used = used, oldest = oldest}
  if used > 0 and (now - oldest) % WRAP >= window then
    local low, high = 1, used
    while low < high do
      local middle = math.floor((low + high) / 2)
      if (now - ring_stamp(ring, middle)) % WRAP >= window then low = middle + 1 else high = middle end
    end
    ring.first, ring.used = (first + low) % capacity, used - low
    ring.oldest = ring_stamp(ring, 0)
  end
  return ring
end

-- Milliseconds until more is available: until the next slot is free when full, until the oldest one is freed
-- otherwise; -1 when waiting cannot help. A limit lowered below what is used waits for the surplus to age as well.
local function ring_wait(ring)
  if ring.maximum == 0 then return -1 end
  if ring.used == 0 then return 0 end
  local next = ring.used > ring.maximum and ring_stamp(ring, ring.used - ring.maximum) or ring.oldest
  return ring.lag + ring.window - (ring.now - next) % WRAP
end

local function ring_grow(ring)
  local body = redis.call('GETRANGE', ring.key, HEAD, -1)
  body = string.sub(body, 4 * ring.first + 1) .. string.sub(body, 1, 4 * ring.first)
  redis.call('SET', ring.key, string.rep('\0', HEAD) .. body)
  ring.capacity, ring.first = math.min(ring.maximum, math.max(8, ring.capacity * 2)), 0
end

local function ring_take(ring)
  if ring.used == ring.capacity then ring_grow(ring) end
  local at, stamp = HEAD + 4 * ((ring.first + ring.used) % ring.capacity), ring.now % WRAP
  if ring.used == 0 then ring.oldest = stamp end
  ring.used = ring.used + 1
  redis.call('SETRANGE', ring.key, at, struct.pack('>I4', stamp))
  redis.call('SETRANGE', ring.key, 0, struct.pack(HEADER, ring.capacity, ring.first, ring.used, ring.oldest, ring.now))
  redis.call('PEXPIRE', ring.key, ring.lag + ring.window)
end
