-- Where messages are listed, and what the lists say: how many are leased or delayed, what becomes ready when.

local lane_lists = {}

-- Call with each lane of a mask, the most urgent first, until it answers something; return that.
local function each_lane(mask, ask)
  local lanes = lane_lists[mask]
  if not lanes then
    lanes = {}
    for lane = 0, NOISY_LANE do
      if band(mask, bit_of(lane)) ~= 0 then lanes[#lanes + 1] = lane end
    end
    lane_lists[mask] = lanes
  end
  for _, lane in ipairs(lanes) do
    local answer = ask(lane)
    if answer ~= nil then return answer end
  end
end

-- Return how many messages of a list by lane and instant have their instant at or after one.
local function count_since(key, mask, at)
  local count = 0
  each_lane(mask, function(lane)
    count = count + call('ZCOUNT', key, digits(lane * LANE + at), digits(lane * LANE + FOR_EVER))
  end)
  return count
end

local function leased_since(q, at)
  local count = count_since(key_leased(q.n), q.leased_lanes, at)
  if q.group_count > 0 then count = count + call('ZCOUNT', key_grouped_leases(q.n), at, '+inf') end
  return count
end

local function in_flight(q) return leased_since(q, now + 1) end

local function delayed(q)
  local count = count_since(key_waiting(q.n), q.waiting_lanes, now + 1)
  if q.group_count > 0 then count = count + call('ZCOUNT', key_grouped_delays(q.n), now + 1, '+inf') end
  return count
end

-- Return the first instant after now in a list by lane and instant, or nil.
local function next_in(key, mask)
  local soonest
  each_lane(mask, function(lane)
    local found = call('ZRANGEBYSCORE', key, digits(lane * LANE + now + 1), digits(lane * LANE + FOR_EVER),
      'WITHSCORES', 'LIMIT', 0, 1)
    if found[2] then
      local at = tonumber(found[2]) - lane * LANE
      if not soonest or at < soonest then soonest = at end
    end
  end)
  return soonest
end

-- Return the first instant after now at which something becomes receivable, or -1.
local function next_ready_at(q)
  local soonest = FOR_EVER
  local function consider(at) if at and at < soonest then soonest = at end end
  consider(next_in(key_waiting(q.n), q.waiting_lanes))
  consider(next_in(key_leased(q.n), q.leased_lanes))
  if q.group_count > 0 then consider(next_in(key_heads(q.n), bor(q.group_lanes, bit_of(NOISY_LANE)))) end
  if q.fresh_at > now then
    -- sent by somebody whose clock is ahead
    each_lane(q.fresh_lanes, function(lane)
      local seq = call('LINDEX', key_fresh(q.n, text_of(lane)), 0)
      local row = seq and get_row(q, tonumber(seq))
      if row and row.visible_at > now then consider(row.visible_at) end
    end)
  end
  return soonest < FOR_EVER and soonest or -1
end

-- Return when so many leases have ended that a queue that holds all it may, may hold another.
local function below_limit_at(q)
  local low, high = now + 1, FOR_EVER
  while low < high do
    local middle = floor((low + high + 1) / 2)
    if leased_since(q, middle) >= q.max_in_flight then low = middle else high = middle - 1 end
  end
  return low
end

-- Show a queue.
local function describe(q)
  local row = call('HMGET', key_queue(q.name), 'settings', 'created_at', 'modified_at', 'purged_at')
  local first = oldest(q)
  local held, waits = in_flight(q), delayed(q)
  return {row[1], tonumber(row[2]), tonumber(row[3]), tonumber(row[4] or -1), q.count - held - waits, waits, held,
    first and first.sent_at or -1, q.sent, q.received, q.deleted, q.name}
end
