-- Receive: choose what comes next, clear away the spent and the expired, lease the rest.
--
-- Gives: show_leased

local SPENT_BUDGET, ATTEMPT_WINDOW_MS, TOKEN, GHOSTS_AT_ONCE = 100, 300000, 12, 1000

-- Add to candidates the sequence numbers of a list by lane and instant that are ready, as {instant, number}.
local function add_ready(candidates, key, lane, wanted)
  local found = call('ZRANGEBYSCORE', key, digits(lane * LANE), digits(lane * LANE + now), 'WITHSCORES', 'LIMIT', 0,
    wanted)
  for index = 1, #found, 2 do
    candidates[#candidates + 1] = {found[index + 1] - lane * LANE, seq_of(found[index])}
  end
end

-- Return the rows at the front of a lane's fresh list that are ready; who was taken out since is dropped.
local function fresh_rows(q, lane, wanted)
  local key, rows = key_fresh(q.n, text_of(lane)), {}
  while true do
    local seqs = call('LRANGE', key, 0, wanted - 1)
    for index, seq in ipairs(seqs) do seqs[index] = tonumber(seq) end
    local ghosts = 0
    for index, row in ipairs(get_rows(q, seqs)) do
      if row and not row.has_state and not row.is_popped then
        if row.visible_at > now then return rows end
        rows[#rows + 1] = row
      elseif #rows == 0 then
        ghosts = index
      else
        return rows -- what is behind a ghost waits until that is in front
      end
    end
    if #rows > 0 or #seqs == 0 then
      if ghosts > 0 then
        call('LPOP', key, ghosts)
        q.ghosts, q.changed = q.ghosts - ghosts, true
      end
      return rows
    end
    call('LPOP', key, ghosts)
    q.ghosts, q.changed = q.ghosts - ghosts, true
    wanted = GHOSTS_AT_ONCE
  end
end

-- Return the messages without group that are ready in a lane and not fresh, at most so many, as {instant, number}.
local function ready_again(q, lane, wanted)
  local candidates = {}
  if band(q.waiting_lanes, bit_of(lane)) ~= 0 then add_ready(candidates, key_waiting(q.n), lane, wanted) end
  if band(q.leased_lanes, bit_of(lane)) ~= 0 then add_ready(candidates, key_leased(q.n), lane, wanted) end
  return candidates
end

-- Return the rows without group that come next in a lane, at most so many: of those that are ready again, and of the fresh.
local function next_in_lane(q, lane, wanted, candidates)
  local fresh = band(q.fresh_lanes, bit_of(lane)) ~= 0 and fresh_rows(q, lane, wanted) or {}
  if #candidates == 0 then return fresh end
  for _, row in ipairs(fresh) do candidates[#candidates + 1] = {row.visible_at, row.seq} end
  table.sort(candidates, function(a, b) return a[1] < b[1] or (a[1] == b[1] and a[2] < b[2]) end)
  local seqs = {}
  for index = 1, math.min(wanted, #candidates) do seqs[index] = candidates[index][2] end
  return get_rows(q, seqs)
end

-- Show a row that is leased: sequence number and token, times received, first received at, visible at, content.
local function show(row)
  return pack('>I6c12I4I6I6', row.seq, row.token, row.receives, row.first_at, row.visible_at) .. row.content
end

-- One receive at work: r.tokens, r.wanted, r.budget, r.leased: what is shown.
local function is_done(r) return #r.leased == r.wanted or r.budget == 0 end

-- Return whether a row is at the front of its lane's fresh list; whoever takes it pops it.
local function is_fresh(row) return row.group == '' and not row.has_state and row.timed == 0 end

local function pop(q, lane, count)
  if count > 0 then call('LPOP', key_fresh(q.n, text_of(lane)), count) end
end

local function take_row(q, r, row)
  if clear(q, row) then
    r.budget = r.budget - 1
    return
  end
  local from = #r.leased * TOKEN + 1
  lease(q, row, string.sub(r.tokens, from, from + TOKEN - 1), r.ends_at, r.owner)
  r.leased[#r.leased + 1] = show(row)
end

-- Lease the fresh messages at the front of a lane, up to one that is not plain: most were sent here, do not expire and were
-- never handed out. Of these a state is made of a few strings; a row would cost several times as much.
local function lease_plain(q, r, lane)
  if q.history > 1 then return end
  local seqs = call('LRANGE', key_fresh(q.n, text_of(lane)), 0, r.wanted - #r.leased - 1)
  local leased_lane = lane_of(9 - floor(lane / 2), q.comes_back)
  local score = digits(leased_lane * LANE + r.ends_at)
  -- the parts of a STATE that all have in common, and of what is shown
  local visible_at, owned = pack('>I6', r.ends_at), pack('>HHc0', 0, #r.owner, r.owner)
  local handed_out = pack('>BBBI4I4I6I6', 0, 1, q.comes_back, 1, 0, now, now)
  local counted = pack('>I4I6I6', 1, now, r.ends_at)
  local number, sub, tokens, leased = pack('>I4', q.number), string.sub, r.tokens, r.leased
  local at, count, is_plain = 1, #leased, true
  while is_plain and at <= #seqs do
    local page, rows, fields, state_fields, key = page_of(seqs[at]), {}, {}, {}, nil
    while at <= #seqs and page_of(seqs[at]) == page do
      local size = #rows + 1
      rows[size] = tonumber(seqs[at])
      key, fields[size], state_fields[size] = place_of(q, rows[size])
      at = at + 1
    end
    local contents = ask('HMGET', key, unpack(fields))
    -- one that was taken out of the list, which keeps it as a ghost, may have a state
    local former = q.ghosts > 0 and ask('HMGET', key, unpack(state_fields)) or {}
    local states, scores, owners, taken = {}, {}, {}, 0
    for index, seq in ipairs(rows) do
      local content = contents[index] or q.kept[seq]
      is_plain = content and not former[index] and q.rows[seq] == nil
      if not is_plain then break end
      local sent_at, ready_at, expires_at, _, timed, receives = read('>I6I6I6BBI4', content, 17)
      is_plain = ready_at <= now and expires_at == 0 and timed == 0 and receives == 0 and sent_at + q.retention_ms > now
      if not is_plain then break end
      local name, token = member(seq), sub(tokens, count * TOKEN + 1, count * TOKEN + TOKEN)
      local state = sub(content, 1, 22) .. visible_at .. sub(content, 29, 35) .. handed_out .. token .. owned
      count, taken = count + 1, taken + 1
      q.rows[seq], leased[count] = state, name .. token .. counted .. content
      local odd = 2 * taken - 1
      states[odd], states[odd + 1], scores[odd], scores[odd + 1] = state_fields[index], state, score, name
      owners[taken] = number .. name
    end
    if taken > 0 then
      call('HSET', key, unpack(states))
      call('ZADD', key_leased(q.n), unpack(scores))
      if r.owner ~= '' then call('SADD', key_owner(r.owner), unpack(owners)) end
      pop(q, lane, taken)
      q.leased_lanes, q.received, q.changed = bor(q.leased_lanes, bit_of(leased_lane)), q.received + taken, true
    end
  end
end

-- Take from a queue without groups, lane by lane.
local function take_ungrouped(q, r)
  each_lane(bor(q.fresh_lanes, bor(q.waiting_lanes, q.leased_lanes)), function(lane)
    while not is_done(r) do
      local again = ready_again(q, lane, r.wanted - #r.leased)
      if #again == 0 then
        lease_plain(q, r, lane)
        if is_done(r) then break end
      end
      local rows = next_in_lane(q, lane, r.wanted - #r.leased, again)
      local popped = 0
      for _, row in ipairs(rows) do
        if is_done(r) then break end
        if is_fresh(row) then popped, row.is_popped = popped + 1, true end
        take_row(q, r, row)
      end
      pop(q, lane, popped)
      if #rows == 0 then break end
    end
    return is_done(r) or nil
  end)
end

-- Return lane, instant and row of the message without group that comes next, or nil.
local function next_ungrouped(q)
  local lane_found, found
  each_lane(bor(q.fresh_lanes, bor(q.waiting_lanes, q.leased_lanes)), function(lane)
    local row = next_in_lane(q, lane, 1, ready_again(q, lane, 1))[1]
    if row then
      lane_found, found = lane, row
      return true
    end
  end)
  return lane_found, found
end

-- Return lane, instant and id of the quiet group whose turn it is, or nil.
local function next_group(q)
  local lane_found, at_found, id
  each_lane(q.group_lanes, function(lane)
    local head = call('ZRANGEBYSCORE', key_heads(q.n), digits(lane * LANE), digits(lane * LANE + now),
      'WITHSCORES', 'LIMIT', 0, 1)
    if head[1] then
      lane_found, at_found, id = lane, head[2] - lane * LANE, string.sub(head[1], 7)
      return true
    end
  end)
  return lane_found, at_found, id
end

-- Take the messages of a strict group in order from a sequence number on, up to the first that is not receivable.
local function take_strictly(q, r, g, after)
  local goes_on = g.is_parked == 0
  g.is_held = true
  while goes_on and not is_done(r) do
    local wanted = r.wanted - #r.leased
    local names = call('ZRANGEBYSCORE', key_group_rows(q.n, g.id), digits(after + 1), '+inf', 'LIMIT', 0, wanted)
    local seqs = {}
    for index, name in ipairs(names) do seqs[index] = seq_of(name) end
    goes_on = #seqs == wanted
    for _, row in ipairs(get_rows(q, seqs)) do
      if is_done(r) or row.visible_at > now then
        goes_on = false
        break
      end
      after = row.seq
      take_row(q, r, row)
    end
  end
  g.is_held = nil
  reseat(q, g)
end

local function take_one_of(q, r, g)
  local _, _, seq = fair_head(q, g)
  take_row(q, r, get_row(q, seq, true))
end

-- Take from a queue with groups: messages without group, and groups by their turn.
local function take_in_turn(q, r)
  while not is_done(r) do
    local lane, row = next_ungrouped(q)
    local group_lane, group_at, id = next_group(q)
    if row and (not id or lane < group_lane or (lane == group_lane and row.visible_at <= group_at)) then
      if is_fresh(row) then
        row.is_popped = true
        pop(q, lane, 1)
      end
      take_row(q, r, row)
    elseif id then
      local g = get_group(q, id)
      if q.is_strict then take_strictly(q, r, g, 0)
      elseif not judge(q, g) then take_one_of(q, r, g) end
    else
      local g = least_noisy(q)
      if not g then return end
      take_one_of(q, r, g)
    end
  end
end

-- Return the rows of an attempt made before, their leases renewed, if all of them last; else an empty list.
local function same_attempt(q, attempt, ends_at)
  local known = call('HGET', key_attempts(q.n), attempt)
  if not known or read('>I6', known) <= now then return {} end
  local rows = {}
  for from = 7, #known, 18 do
    local seq, token = read('>I6c12', known, from)
    local row = get_row(q, seq, true)
    if not row or row.token ~= token or row.visible_at <= now then return {} end
    rows[#rows + 1] = row
  end
  for _, row in ipairs(rows) do change_visibility(q, row, ends_at) end
  return rows
end

-- Show rows that are leased.
function show_leased(rows)
  local shown = {}
  for index, row in ipairs(rows) do shown[index] = show(row) end
  return shown
end

-- Return the earlier of two instants; -1 is none.
local function sooner(one, other)
  if one < 0 then return other end
  if other < 0 then return one end
  return math.min(one, other)
end

-- Return an empty answer, and note that somebody waits.
local function nothing(q, followed, look_again_at, is_over_limit)
  if not followed then
    if q.is_awaited == 0 then q.is_awaited, q.changed = 1, true end
    return {{}, look_again_at, is_over_limit, q.wait_ms, false}
  end
  local g = get_group(q, followed.group)
  g.is_followed, g.changed, q.is_followed, q.changed = 1, true, 1, true
  return {{}, sooner(look_again_at, followed.visible_at), is_over_limit, q.wait_ms, followed.group}
end

-- Return the row whose delivery is followed, or nil and why it cannot be; kind: r for a receipt, x for what is none.
local function followed_row(q, kind, seq, token)
  if not q.is_strict then return nil, 'unfollowable' end
  if kind == 'x' then return nil, 'invalid' end
  local row = get_row(q, seq)
  if not row or row.token ~= token or row.visible_at <= now then return nil, 'lost' end
  if row.group == '' then return nil, 'unfollowable' end
  return row
end

-- Take what comes behind a row in its group; return when the first that is left may be taken, if that is known.
local function take_following(q, r, followed)
  local g = get_group(q, followed.group)
  if g.is_parked == 1 then return -1 end
  take_strictly(q, r, g, followed.seq)
  local names = call('ZRANGEBYSCORE', key_group_rows(q.n, g.id), digits(followed.seq + 1), '+inf', 'LIMIT', 0, 1)
  return names[1] and get_row(q, seq_of(names[1])).visible_at or -1
end

-- receive: queue, tokens, visibility timeout in ms (-1: the queue's), owner (''), has an attempt id, attempt id, what is
-- followed: '' nothing, r a receipt, x what is none; its sequence number, its token.
-- Returns 'missing', 'unfollowable', 'invalid', 'lost', or {rows shown, look again at (-1), is over limit, wait ms, group
-- in which somebody follows or false}.
verbs.receive = function()
  local name, tokens, timeout_ms, owner, has_attempt, attempt = take(), take(), take_number(), take(), take(), take()
  local follows, followed_seq, followed_token = take(), take_number(), take()
  local q, followed, why = find_queue(name), nil, nil
  if not q then return 'missing' end
  if follows ~= '' then
    followed, why = followed_row(q, follows, followed_seq, followed_token)
    if why then return why end
  end
  if q.is_paused then return nothing(q, followed, -1, 0) end
  if timeout_ms < 0 then timeout_ms = q.visibility_ms end
  local r = {tokens = tokens, wanted = #tokens / TOKEN, budget = SPENT_BUDGET, leased = {}, owner = owner,
    ends_at = now + math.max(1, timeout_ms)}
  local is_attempt = has_attempt == '1' and q.is_strict
  if is_attempt then
    local again = same_attempt(q, attempt, r.ends_at)
    if #again > 0 then return {show_leased(again), -1, 0, 0, false} end
  end
  if q.max_in_flight > 0 then
    local free = q.max_in_flight - in_flight(q)
    if free <= 0 then return nothing(q, followed, below_limit_at(q), 1) end
    r.wanted = math.min(r.wanted, free)
  end
  local look_again_at = -1
  if followed then look_again_at = take_following(q, r, followed)
  elseif q.group_count == 0 then take_ungrouped(q, r)
  else take_in_turn(q, r) end
  if #r.leased == 0 then
    if r.budget == 0 then look_again_at = now elseif not followed then look_again_at = next_ready_at(q) end
    return nothing(q, followed, look_again_at, 0)
  end
  if is_attempt then
    local names = {pack('>I6', now + ATTEMPT_WINDOW_MS)}
    for index, shown in ipairs(r.leased) do names[index + 1] = string.sub(shown, 1, 18) end
    call('HSET', key_attempts(q.n), attempt, table.concat(names))
    call('ZADD', key_expiring(q.n), now + ATTEMPT_WINDOW_MS, 'a' .. attempt)
    expect(q, now + ATTEMPT_WINDOW_MS)
  end
  return {r.leased, -1, 0, 0, false}
end
