-- ring_take: one stamp more in a ring (see ring).
-- A full circle gets more room: the body from its oldest stamp on, then those of the head.
local function ring_grow(body, head, capacity, place, maximum, life)
  if capacity == 0 then return BLOCK, 0, '' end
  local stamps = redis.call('GETRANGE', body, 0, 4 * capacity - 1)
  stamps = string.sub(stamps, 4 * place + 1) .. string.sub(stamps, 1, 4 * (place - place % BLOCK)) .. string.sub(head, HEAD + 1)
  redis.call('SET', body, stamps, 'PX', life)
  return math.min(2 * capacity, math.ceil(maximum / BLOCK) * BLOCK), capacity, ''
end

-- A ring as it was read (maximum, window, and what ring_read says), after one stamp more if one is taken: what is used, and
-- milliseconds until more is available, 0 when nothing is used, -1 when waiting is in vain. Eight stamps at a time go to the
-- body, which lives until the newest has left the window.
local function ring_settle(ring, body, head_at, head, takes)
  local maximum, window, capacity, place, used, oldest, at, ahead = unpack(ring)
  if takes then
    local life = ahead + window
    if used == 0 then oldest = at % WRAP end
    if used == capacity then capacity, place, head = ring_grow(body, head, capacity, place, maximum, life) end
    local stamps = string.sub(head, HEAD + 1) .. struct.pack('>I4', at % WRAP)
    place, used = place + 1, used + 1
    if #stamps == 4 * BLOCK then
      redis.call('SETRANGE', body, 4 * (place - BLOCK), stamps)
      redis.call('PEXPIRE', body, life)
      place, stamps = place % capacity, ''
    end
    head = struct.pack(HEADER, capacity, place, used, oldest, at) .. stamps
    redis.call('SET', KEYS[head_at], head, 'PX', life)
  end
  if maximum == 0 then return used, -1 end
  if used == 0 then return 0, 0 end
  local next = used > maximum and ring_stamp(body, head, capacity, place, used, used - maximum) or oldest
  return used, ahead + window - (at - next) % WRAP
end
