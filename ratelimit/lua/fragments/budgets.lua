-- budgets: what one API key and one run of an agent may use, judged beside the account's limits. From `first` on KEYS hold
-- the head and the body of the key's ring, its counters of the day and of the month, and the run; the fence stands in
-- for what is not bounded. The word has rows as in limits, 2^53 - 1 means no bound:
--   0 the ring's maximum and window; 1, 2 a counter's maximum and when it expires; 3 a run's tokens and its life, ms (0 = no
--   run); 4 its calls; 5 its open reservations and how many the call opens; 6 equal requests in a row; then their digest
--   counter  a hash: p used, f the account's version when it was counted (at another one it is not), c see count_anew
--   run      a hash: t tokens, c calls, o open reservations, d digest of the last request, r how often it came in a row
local function budgets_ring(budgets, maximum, window, now)
  local key, body = KEYS[budgets.first], KEYS[budgets.first + 1]
  local ring = {key = key, body = body, maximum = maximum, window = window, head = redis.call('GET', key)}
  ring.capacity, ring.place, ring.used, ring.oldest, ring.at, ring.ahead = ring_read(body, ring.head, window, now)
  redis.call('STRLEN', body)
  if budgets.requests > 0 and ring.used >= maximum then budgets.violated = 1 end
  budgets.ring = ring
end

local function budgets_run(budgets, word, life)
  local held = redis.call('HMGET', KEYS[budgets.first + 4], 't', 'c', 'o', 'r', 'd')
  local _, opens = limit_read(word, 5)
  if budgets.known then opens = 0 end
  local digest, used = string.sub(word, 113), {}
  for i = 1, 4 do used[i] = stored(held[i]) end
  if digest == '' or held[5] ~= digest then used[4] = 0 end
  local amounts = {budgets.cost, budgets.requests, opens, digest == '' and 0 or budgets.requests}
  for i = 1, 4 do
    local most = limit_read(word, 2 + i)
    if amounts[i] > 0 and used[i] + amounts[i] > most then budgets.violated = budgets.violated + 2 ^ (2 + i) end
  end
  budgets.run = {used = used, amounts = amounts, digest = digest, life = life}
end

-- `violated`: 1 the ring, 2 the day, 4 the month, 8, 16, 32, 64 the run's; 128, with `uncounted`: a counter is not there.
-- A request whose Idempotency-Key is known opens no reservation again.
local function budgets_read(first, word, requests, cost, now, known)
  local budgets = {first = first, requests = requests, cost = cost, known = known, violated = 0, used = {0, 0}, counted = {}}
  local maximum, window = limit_read(word, 0)
  if window > 0 then budgets_ring(budgets, maximum, window, now) end
  for i = 1, 2 do
    local most = limit_read(word, i)
    if most < EXACT then
      local held = redis.call('HMGET', KEYS[first + 1 + i], 'p', 'f')
      if not held[1] or held[2] ~= ARGV[1] then budgets.uncounted = UNCOUNTED end
      budgets.used[i], budgets.counted[i] = stored(held[1]), true
      if cost > 0 and budgets.used[i] + cost > most then budgets.violated = budgets.violated + 2 ^ i end
    end
  end
  local _, life = limit_read(word, 3)
  if life > 0 then budgets_run(budgets, word, life) end
  if budgets.uncounted then budgets.violated = 128 end
  return budgets
end
