-- ring_take: one stamp more in a ring (see ring).
-- A full circle gets more room: the body from its oldest stamp on, then those of the head.
local function ring_grow(body, head, capacity, place, maximum, life)
  if capacity == 0 then return BLOCK, 0, '' end
  local stamps = redis.call('GETRANGE', body, 0, 4 * capacity - 1)
  stamps = string.sub(stamps, 4 * place + 1) .. string.sub(stamps, 1, 4 * (place - place % BLOCK)) .. string.sub(head, HEAD + 1)
  redis.call('SET', body, stamps, 'PX', life)
  return math.min(2 * capacity, math.ceil(maximum / BLOCK) * BLOCK), capacity, ''
end

-- The head with one stamp more, `used` in all. Eight at a time go to the body, which lives until the newest has left.
local function ring_put(body, head, capacity, place, used, oldest, at, life)
  local stamps = string.sub(head, HEAD + 1) .. struct.pack('>I4', at % WRAP)
  place = place + 1
  if #stamps == 4 * BLOCK then
    redis.call('SETRANGE', body, 4 * (place - BLOCK), stamps)
    redis.call('PEXPIRE', body, life)
    place, stamps = place % capacity, ''
  end
  return struct.pack(HEADER, capacity, place, used, oldest, at) .. stamps
end
