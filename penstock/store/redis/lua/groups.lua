-- Message groups: the list of heads that receives choose from, kept right by reseating a group after each change.
-- Fairness is that of core.fairness.

local GROUP = '>BBI6I6I6I6I6BBI6I6I6I6B'
local NOISY_CANDIDATES, NOISY_MIN_IN_FLIGHT, QUIET_AFTER_MS, SHARE, PERIOD_MS = 32, 30, 300000, 10, 60000

-- Return a group of a queue; one that is not there yet is made when it is saved.
local function get_group(q, id)
  local g = q.read_groups[id]
  if g then return g end
  local row = call('HGET', key_groups(q.n), id)
  g = {id = id}
  if row then
    g.is_parked, g.is_noisy, g.last_sent_at, g.busy_period, g.busy_now, g.busy_before, g.count, g.is_seated, g.lane,
      g.ready_at, g.turn, g.head, g.head_at, g.is_followed = read(GROUP, row)
  else
    g.is_parked, g.is_noisy, g.last_sent_at, g.busy_period, g.busy_now, g.busy_before, g.count = 0, 0, 0, 0, 0, 0, 0
    g.is_seated, g.lane, g.ready_at, g.turn, g.head, g.head_at, g.is_followed = 0, 0, 0, 0, 0, 0, 0
    call('ZADD', key_group_ids(q.n), 0, id)
    q.group_count, q.changed = q.group_count + 1, true
  end
  q.read_groups[id] = g
  return g
end

local function save_groups(q)
  for id, g in pairs(q.read_groups) do
    if g.changed then
      call('HSET', key_groups(q.n), id, pack(GROUP, g.is_parked, g.is_noisy, g.last_sent_at, g.busy_period,
        g.busy_now, g.busy_before, g.count, g.is_seated, g.lane, g.ready_at, g.turn, g.head, g.head_at, g.is_followed))
    end
  end
end

-- Tell those who follow in a group, if one of them found nothing since they were last told.
local function wake_group(q, g, at)
  if g.is_followed == 0 then return end
  if at <= now then
    g.is_followed, g.changed = 0, true
  end
  tell_of(q.name .. '\n' .. g.id, at)
end

local function unseat(q, g)
  if g.is_seated == 1 then call('ZREM', key_heads(q.n), pack('>I6', g.turn) .. g.id) end
  g.is_seated = 0
end

local function seat(q, g, lane, ready_at, turn)
  if g.is_seated == 1 and g.lane == lane and g.ready_at == ready_at and g.turn == turn then return end
  if g.turn ~= turn then unseat(q, g) end
  g.is_seated, g.lane, g.ready_at, g.turn = 1, lane, ready_at, turn
  call('ZADD', key_heads(q.n), digits(lane * LANE + ready_at), pack('>I6', turn) .. g.id)
end

-- Return lane, visible_at and sequence number of the message a fair group hands out next: the best lane that has
-- something ready, else what becomes ready first.
local function fair_head(q, g)
  local key = key_group_rows(q.n, g.id)
  local first = call('ZRANGE', key, 0, 0, 'WITHSCORES')
  local lane, at, seq = floor(first[2] / LANE), first[2] % LANE, seq_of(first[1])
  if at <= now then return lane, at, seq end
  each_lane(q.group_lanes, function(other)
    local found = call('ZRANGEBYSCORE', key, digits(other * LANE), digits(other * LANE + FOR_EVER), 'WITHSCORES',
      'LIMIT', 0, 1)
    if found[1] then
      local other_at = found[2] % LANE
      if other_at < at then lane, at, seq = other, other_at, seq_of(found[1]) end
      if other_at <= now then return true end
    end
  end)
  return lane, at, seq
end

-- Return when a group that holds all the leases it may gets one back; 0 if it may have more.
local function freed_at(q, g)
  if q.group_max == 0 then return 0 end
  local found = call('ZREVRANGE', key_group_leases(q.n, g.id), q.group_max - 1, q.group_max - 1, 'WITHSCORES')
  local at = tonumber(found[2] or 0)
  return at > now and at or 0
end

-- Give a group its place among the heads, by the message it would hand out next.
local function reseat(q, g)
  if g.is_held then return end -- a receive takes of it and reseats it afterwards
  g.changed = true
  if g.count == 0 or g.is_parked == 1 then
    unseat(q, g)
    if g.count == 0 and g.is_parked == 0 then
      call('HDEL', key_groups(q.n), g.id)
      call('ZREM', key_group_ids(q.n), g.id)
      q.group_count, q.changed, q.read_groups[g.id] = q.group_count - 1, true, nil
    end
    return
  end
  if not q.is_strict then
    local lane, at, seq = fair_head(q, g)
    seat(q, g, g.is_noisy == 1 and NOISY_LANE or lane, math.max(at, freed_at(q, g)), seq)
    return
  end
  local seq = seq_of(call('ZRANGE', key_group_rows(q.n, g.id), 0, 0)[1])
  local row = get_row(q, seq)
  local lane = lane_of(row.priority, 0)
  if g.is_seated == 1 and seq == g.head and row.visible_at == g.head_at then
    seat(q, g, lane, g.ready_at, g.turn)
  else
    q.turn, q.changed = q.turn + 1, true
    g.head, g.head_at = seq, row.visible_at
    seat(q, g, lane, math.max(row.visible_at, now), q.turn)
  end
end

-- Return processing time of the present minute and the one before, as seen now.
local function busy_of(b)
  local period = floor(now / PERIOD_MS)
  if period == b.busy_period then return b.busy_now, b.busy_before end
  return 0, period == b.busy_period + 1 and b.busy_now or 0
end

local function add_busy(b, busy_ms)
  local current, before = busy_of(b)
  b.busy_period, b.busy_now, b.busy_before, b.changed = floor(now / PERIOD_MS), current + busy_ms, before, true
end

-- Count the processing time of a delivery that has ended against its tenant.
local function settle_busy(q, row)
  if row.group == '' or q.is_strict or row.received_at == 0 then return end
  local busy_ms = math.max(0, now - row.received_at)
  add_busy(q, busy_ms)
  add_busy(get_group(q, row.group), busy_ms)
end

local function group_in_flight(q, g)
  return call('ZCOUNT', key_group_leases(q.n, g.id), now + 1, '+inf')
end

local function is_noisy(q, g, held)
  if g.is_noisy == 1 and g.count > held and now - g.last_sent_at < QUIET_AFTER_MS then return true end
  if held >= NOISY_MIN_IN_FLIGHT and held * SHARE > in_flight(q) then return true end
  local current, before = busy_of(g)
  local share = current + before
  if share == 0 or held == 0 then return false end
  current, before = busy_of(q)
  return share * SHARE > current + before
end

-- Return whether a tenant is noisy now, and how many leases it holds; when that changed it is reseated.
local function judge(q, g)
  local held = group_in_flight(q, g)
  local verdict = is_noisy(q, g, held) and 1 or 0
  if verdict ~= g.is_noisy then
    g.is_noisy = verdict
    reseat(q, g)
  end
  return verdict == 1, held
end

-- Return the noisy group with the fewest leases; one that has turned quiet goes before.
local function least_noisy(q)
  local least, least_held, least_at
  local heads = call('ZRANGEBYSCORE', key_heads(q.n), digits(NOISY_LANE * LANE), digits(NOISY_LANE * LANE + now),
    'LIMIT', 0, NOISY_CANDIDATES)
  for _, head in ipairs(heads) do
    local g = get_group(q, string.sub(head, 7))
    local noisy, held = judge(q, g)
    if not noisy then return g end
    if not least or held < least_held then least, least_held = g, held end
  end
  return least
end
