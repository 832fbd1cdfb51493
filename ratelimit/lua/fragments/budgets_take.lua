-- budgets_take: a call takes what it needs of budgets (see budgets), and how they stand.
local function budgets_ring_take(ring)
  local life = ring.ahead + ring.window
  if ring.used == 0 then ring.oldest = ring.at % WRAP end
  if ring.used == ring.capacity then
    ring.capacity, ring.place, ring.head = ring_grow(ring.body, ring.head, ring.capacity, ring.place, ring.maximum, life)
  end
  ring.used = ring.used + 1
  ring.head = ring_put(ring.body, ring.head, ring.capacity, ring.place, ring.used, ring.oldest, ring.at, life)
  redis.call('SET', ring.key, ring.head, 'PX', life)
end

local function budgets_take(budgets)
  if budgets.ring and budgets.requests > 0 then budgets_ring_take(budgets.ring) end
  for i = 1, 2 do
    if budgets.counted[i] and budgets.cost > 0 then
      redis.call('HINCRBY', KEYS[budgets.first + 1 + i], 'p', budgets.cost)
      budgets.used[i] = budgets.used[i] + budgets.cost
    end
  end
  local run, key = budgets.run, KEYS[budgets.first + 4]
  if not run then return end
  for i, field in ipairs({'t', 'c', 'o', 'r'}) do run.used[i] = run.used[i] + run.amounts[i] end
  redis.call('HSET', key, 't', string.format('%.0f', run.used[1]), 'c', run.used[2], 'o', run.used[3])
  if run.amounts[4] > 0 then redis.call('HSET', key, 'd', run.digest, 'r', run.used[4]) end
  redis.call('PEXPIRE', key, run.life)
end

local function budgets_wait(ring)
  if ring.maximum == 0 then return -1 end
  if ring.used == 0 then return 0 end
  local over, next = ring.used - ring.maximum, ring.oldest
  if over > 0 then next = ring_stamp(ring.body, ring.head, ring.capacity, ring.place, ring.used, over) or next end
  return ring.ahead + ring.window - (ring.at - next) % WRAP
end

-- Which refuse, the ring's used and wait in ms (-1 = in vain), the used of day and month, the run's four; packed.
local function budgets_standings(budgets)
  local ring, run = budgets.ring, budgets.run and budgets.run.used or {0, 0, 0, 0}
  return struct.pack('>I1i8i8i8i8i8i8i8i8', budgets.violated, ring and ring.used or 0, ring and budgets_wait(ring) or 0,
    budgets.used[1], budgets.used[2], run[1], run[2], run[3], run[4])
end
