-- Moving house: everything of a queue shown as it is kept, and kept as it was shown. What is taken in lies in pages and
-- hashes only; settling in builds the lists that receives choose from, as often as it is asked for.

local MOST_LANES = LANES

-- house_queue: queue. Returns 'missing' or settings, created at, modified at, purged at (-1: never), last sequence number,
-- last turn, sent, received, deleted, busy period, busy now, busy before.
verbs.house_queue = function()
  local q = find_queue(take())
  if not q then return 'missing' end
  local row = call('HMGET', key_queue(q.name), 'settings', 'created_at', 'modified_at', 'purged_at')
  return {row[1], tonumber(row[2]), tonumber(row[3]), tonumber(row[4] or -1), q.seq, q.turn, q.sent, q.received,
    q.deleted, q.busy_period, q.busy_now, q.busy_before}
end

-- house_groups: queue, bounds of the ids, limit. Returns rows: id, parked, noisy, last sent at, busy times, is seated, lane,
-- ready at, turn, head, its instant.
verbs.house_groups = function()
  local q, from, to, limit = find_queue(take()), take(), take(), take_number()
  local found = {}
  for index, id in ipairs(q and call('ZRANGEBYLEX', key_group_ids(q.n), from, to, 'LIMIT', 0, limit) or {}) do
    local g = get_group(q, id)
    local head, head_at = g.head, g.head_at
    if not q.is_strict and g.count > 0 then
      head = g.turn
      local row = g.is_seated == 1 and get_row(q, head)
      head_at = row and row.visible_at or g.ready_at
    end
    found[index] = {id, g.is_parked, g.is_noisy, g.last_sent_at, g.busy_period, g.busy_now, g.busy_before, g.is_seated,
      g.lane, g.ready_at, g.turn, head, head_at}
  end
  return found
end

-- house_hash: 'duplicates', 'attempts' or 'joins', queue or '', cursor, how many at once.
-- Returns {next cursor, {field, value, ...}}; with each join its draft and its parts.
verbs.house_hash = function()
  local kind, name, cursor, limit = take(), take(), take(), take_number()
  if kind == 'joins' then
    local found = call('HSCAN', key_joins(), cursor, 'COUNT', limit)
    local shown = {}
    for index = 1, #found[2], 2 do
      local id = found[2][index]
      shown[#shown + 1] = {id, found[2][index + 1], call('HGET', key_join_drafts(), id),
        call('SMEMBERS', key_join_parts(id))}
    end
    return {found[1], shown}
  end
  local q = find_queue(name)
  if not q then return {'0', {}} end
  return call('HSCAN', kind == 'duplicates' and key_duplicates(q.n) or key_attempts(q.n), cursor, 'COUNT', limit)
end

-- house_resting: Returns names and instants.
verbs.house_resting = function() return call('ZRANGE', key_resting(), 0, -1, 'WITHSCORES') end

-- -- taking in ------------------------------------------------------------------------------------------------------

-- take_in_queue: queue, settings, facts, dead-letter queue or '', created at, modified at, purged at (+1), last sequence
-- number, last turn, sent, received, deleted, busy period, busy now, busy before.
verbs.take_in_queue = function()
  local name, settings, facts, target = take(), take(), take(), take()
  local q = find_queue(name)
  call('ZREM', key_resting(), name)
  call('ZADD', key_names(), 0, name)
  if q then save_settings(q, settings, facts, target)
  else
    q = {name = name, seq = 0, turn = 0, sent = 0, received = 0, deleted = 0, page = 0, is_awaited = 1, is_followed = 1,
      dead_letter_queue = ''}
    save_settings(q, settings, facts, target)
    empty(q)
  end
  call('HSET', key_queue(name), 'created_at', take(), 'modified_at', take())
  local purged_at = take_number()
  if purged_at > 0 then call('HSET', key_queue(name), 'purged_at', purged_at - 1) else call('HDEL', key_queue(name), 'purged_at') end
  local last, turn = take_number(), take_number()
  -- as one of several shards it may hold what came since, with later numbers
  local came = q.seq > last and #seqs_after(q, last, 10000) or 0
  q.seq, q.turn, q.sent, q.received, q.deleted = math.max(q.seq, last), math.max(q.turn, turn), take_number() + came,
    take_number(), take_number()
  q.busy_period, q.busy_now, q.busy_before = take_number(), take_number(), take_number()
  save_queue(q)
  loaded[name] = nil
  return 'done'
end

-- Forget what lies in a page under a sequence number.
local function drop(q, seq)
  local row = get_row(q, seq)
  if not row then return end
  local key, field, state_field = place_of(q, seq)
  call('HDEL', key, field, state_field)
  if row.expires_at > 0 then call('ZREM', key_expiring(q.n), 'm' .. member(seq)) end
  set_owner(q, row, '')
  local value = call('HGET', key_ids(), row.id)
  if value == 'm' .. pack('>I4I6', q.number, seq) then call('HDEL', key_ids(), row.id) end
  q.rows[seq], q.kept[seq] = nil, nil
end

-- take_in_messages: queue, count, for each its sequence number, id, content, state or ''. Returns 'done'.
verbs.take_in_messages = function()
  local q, seen, page = find_queue(take()), {}, nil
  for _ = 1, take_number() do
    local seq, id, content, state = take_number(), take(), take(), take()
    -- but for one that comes twice no write needs to be made for what is asked here
    if seen[seq] or seen[id] then write_all() end
    seen[seq], seen[id] = true, true
    local value = ask('HGET', key_ids(), id)
    if value and string.sub(value, 1, 1) == 'm' then
      local number, other = read('>I4I6', value, 2)
      local holder = queue_with(number)
      if holder then drop(holder, other) end
    end
    drop(q, seq)
    local key, field, state_field = place_of(q, seq)
    later('HSET', key, field, content)
    if state ~= '' then later('HSET', key, state_field, state) end
    later('HSET', key_ids(), id, 'm' .. pack('>I4I6', q.number, seq))
    if page_of(seq) ~= page then
      page = page_of(seq)
      later('ZADD', key_pages(q.n), page, page)
    end
    local row = row_of(seq, content, state ~= '' and state)
    if row.expires_at > 0 then later('ZADD', key_expiring(q.n), row.expires_at, 'm' .. member(seq)) end
    if row.owner ~= '' then later('SADD', key_owner(row.owner), pack('>I4I6', q.number, seq)) end
  end
  return 'done'
end

-- take_in_groups: queue, count, for each as house_groups shows it. A group that has nothing goes when all settle in.
verbs.take_in_groups = function()
  local q = find_queue(take())
  for _ = 1, take_number() do
    local id, n = take(), {}
    for index = 1, 12 do n[index] = take_number() end
    call('HSET', key_groups(q.n), id, pack(GROUP, n[1], n[2], n[3], n[4], n[5], n[6], 0, n[7], n[8], n[9], n[10], n[11],
      n[12], 1))
    call('ZADD', key_group_ids(q.n), 0, id)
    if n[1] == 1 then call('ZADD', key_parked(q.n), 0, id) else call('ZREM', key_parked(q.n), id) end
  end
  return 'done'
end

-- take_in_ends: 'd' for duplicates, 'a' for attempts, queue, count, for each field, value, when it ends.
verbs.take_in_ends = function()
  local kind, q = take(), find_queue(take())
  for _ = 1, take_number() do
    local field, value, ends_at = take(), take(), take_number()
    call('HSET', kind == 'd' and key_duplicates(q.n) or key_attempts(q.n), field, value)
    call('ZADD', key_expiring(q.n), ends_at, kind .. field)
  end
  return 'done'
end

-- take_in_join: join id, row, message id, ends (+1), draft, count, parts.
verbs.take_in_join = function()
  local id, row, message_id, ends, draft = take(), take(), take(), take_number(), take()
  call('HSET', key_joins(), id, row)
  call('HSET', key_join_drafts(), id, draft)
  call('DEL', key_join_parts(id))
  for _ = 1, take_number() do call('SADD', key_join_parts(id), take()) end
  if ends > 0 then call('ZADD', key_join_ends(), ends - 1, id) else call('ZREM', key_join_ends(), id) end
  call('HSET', key_ids(), message_id, 'j' .. id)
  return 'done'
end

-- take_in_move: move id, source, started at, forgotten at, move, status, to move, until, moved, cursor, failure or ''.
verbs.take_in_move = function()
  local id, source, started_at, ends, move, status = take(), take(), take_number(), take_number(), take(), take()
  call('HSET', key_move(id), 'move', move, 'source', source, 'ends', ends, 'status', status, 'to_move', take(), 'until',
    take(), 'moved', take(), 'cursor', take())
  local failure = take()
  if failure ~= '' then call('HSET', key_move(id), 'failure', failure) end
  call('ZADD', key_moves_of(source), started_at, id)
  if status == 'running' then
    call('HSET', key_running_of(), source, id)
    call('ZADD', key_running(), started_at, id)
    call('ZREM', key_ended(), id)
  else
    if call('HGET', key_running_of(), source) == id then call('HDEL', key_running_of(), source) end
    call('ZREM', key_running(), id)
    call('ZADD', key_ended(), ends, id)
  end
  return 'done'
end

-- take_in_events: count, for each event id, instant, queue, message id, kind, has a detail, detail. Those that are not after
-- the latest are there already.
verbs.take_in_events = function()
  local last = call('XREVRANGE', key_events(), '+', '-', 'COUNT', 1)[1]
  last = last and tonumber(string.match(last[1], '^%d+')) or 0
  for _ = 1, take_number() do
    local event, instant, name, id, kind, has_detail, detail = take_number(), take(), take(), take(), take(), take(), take()
    if event > last then
      last = event
      local fields = {'at', instant, 'queue', name, 'id', id, 'kind', kind}
      if has_detail == '1' then fields[9], fields[10] = 'detail', detail end
      call('XADD', key_events(), digits(event) .. '-0', unpack(fields))
      call('HSET', key_events_of(), id, (call('HGET', key_events_of(), id) or '') .. pack('>I6', event))
    end
  end
  call('HSET', key_counters(), 'event', digits(math.max(last, tonumber(call('HGET', key_counters(), 'event') or 0))))
  return 'done'
end

-- take_in_resting: name, instant.
verbs.take_in_resting = function()
  local name, instant = take(), take()
  if not find_queue(name) then call('ZADD', key_resting(), instant, name) end
  return 'done'
end

-- take_out: 'queue', 'message', 'group', 'join', 'move' or 'resting', queue, key. What is not there is no error.
verbs.take_out = function()
  local kind, name, key = take(), take(), take()
  if kind == 'resting' then
    call('ZREM', key_resting(), key)
    return 'done'
  end
  if kind == 'move' then
    if call('HGET', key_running_of(), name) == key then call('HDEL', key_running_of(), name) end
    call('ZREM', key_running(), key)
    call('ZREM', key_ended(), key)
    call('ZREM', key_moves_of(name), key)
    call('DEL', key_move(key))
    return 'done'
  end
  if kind == 'join' then
    local join = held_join('j' .. key)
    if join then close_join(join) end
    return 'done'
  end
  local q = find_queue(name)
  if not q then return 'done' end
  if kind == 'message' then drop(q, tonumber(key))
  elseif kind == 'group' then
    call('HDEL', key_groups(q.n), key)
    call('ZREM', key_group_ids(q.n), key)
    call('ZREM', key_parked(q.n), key)
  else
    take_number_away(q)
    save_settings(q, '', '', '')
    call('DEL', key_queue(name))
    call('ZREM', key_names(), name)
    loaded[name] = nil
  end
  return 'done'
end

-- -- settling in ----------------------------------------------------------------------------------------------------

-- Put a row into the lists, but not its group among the others.
local function list(q, row)
  local n, name, lane = q.n, member(row.seq), lane_of(row.priority, row.comes_back)
  q.count = q.count + 1
  expect(q, row.sent_at + q.retention_ms)
  if row.group ~= '' then
    q.group_lanes = bor(q.group_lanes, bit_of(q.is_strict and lane_of(row.priority, 0) or lane))
    call('ZADD', key_group_rows(n, row.group), digits(q.is_strict and row.seq or lane * LANE + row.visible_at), name)
    if row.token then
      call('ZADD', key_group_leases(n, row.group), digits(row.visible_at), name)
      call('ZADD', key_grouped_leases(n), digits(row.visible_at), name)
    elseif row.timed == 1 then call('ZADD', key_grouped_delays(n), digits(row.visible_at), name) end
    return
  end
  local score = digits(lane * LANE + row.visible_at)
  if not (row.token or row.has_state or row.timed == 1) and row.visible_at < q.fresh_at then
    -- out of the order that the list of the fresh is in: it is one of those that became ready at an instant
    row.timed = 1
    local key, field = place_of(q, row.seq)
    call('HSET', key, field, string.sub(row.content, 1, 35) .. '\1' .. string.sub(row.content, 37))
  end
  if row.token then
    q.leased_lanes = bor(q.leased_lanes, bit_of(lane))
    call('ZADD', key_leased(n), score, name)
  elseif row.has_state or row.timed == 1 then
    q.waiting_lanes = bor(q.waiting_lanes, bit_of(lane))
    call('ZADD', key_waiting(n), score, name)
  else
    q.fresh_at = row.visible_at
    q.fresh_lanes = bor(q.fresh_lanes, bit_of(lane))
    call('RPUSH', key_fresh(n, text_of(lane)), digits(row.seq))
  end
end

-- settle_messages: queue, after a sequence number, limit. Returns the last sequence number, or -1: those were all. What
-- comes after the first call lists itself.
verbs.settle_messages = function()
  local q, after, limit = find_queue(take()), take_number(), take_number()
  local last = after == 0 and q.seq or tonumber(call('HGET', key_queue(q.name), 'settling'))
  if after == 0 then
    call('HSET', key_queue(q.name), 'settling', digits(last))
    for lane = 0, MOST_LANES - 1 do call('DEL', key_fresh(q.n, text_of(lane))) end
    call('DEL', key_waiting(q.n), key_leased(q.n), key_heads(q.n), key_grouped_leases(q.n), key_grouped_delays(q.n))
    for _, id in ipairs(call('ZRANGE', key_group_ids(q.n), 0, -1)) do
      call('DEL', key_group_rows(q.n, id), key_group_leases(q.n, id))
    end
    q.fresh_lanes, q.waiting_lanes, q.leased_lanes, q.group_lanes, q.count, q.ghosts, q.fresh_at = 0, 0, 0, 0, 0, 0, 0
  end
  local seqs = seqs_after(q, after, limit)
  local are_all = #seqs < limit
  while #seqs > 0 and seqs[#seqs] > last do seqs[#seqs], are_all = nil, true end
  for _, row in ipairs(get_rows(q, seqs)) do list(q, row) end
  q.rows, q.kept, q.changed = {}, {}, true
  return are_all and -1 or seqs[#seqs]
end

-- settle_groups: queue, after a group id, limit. Returns the last id, or false: those were all.
verbs.settle_groups = function()
  local q, after, limit = find_queue(take()), take(), take_number()
  if after == '' then
    q.group_count, q.page, q.is_awaited, q.is_followed = call('ZCARD', key_group_ids(q.n)), page_of(q.seq), 1, 1
    call('ZADD', key_pages(q.n), q.page, q.page)
    expect(q, now)
  end
  local ids = call('ZRANGEBYLEX', key_group_ids(q.n), '(' .. after, '+', 'LIMIT', 0, limit)
  for _, id in ipairs(ids) do
    local g, is_seated = get_group(q, id), 0
    g.count, is_seated = call('ZCARD', key_group_rows(q.n, id)), g.is_seated
    -- what came meanwhile may have seated it
    unseat(q, g)
    if is_seated == 1 and g.count > 0 and g.is_parked == 0 then seat(q, g, g.lane, g.ready_at, g.turn)
    else reseat(q, g) end
    g.changed = q.read_groups[id] ~= nil
  end
  q.changed = true
  return #ids == limit and ids[#ids] or false
end

-- leave_queue: queue, last sequence number. Forgets what the queue holds, unless something has come after that. Returns 1 or 0.
verbs.leave_queue = function()
  local q, last = find_queue(take()), take_number()
  if #seqs_after(q, last, 1) > 0 then return 0 end
  take_number_away(q)
  q.is_awaited, q.is_followed = 1, 1
  wake(q, now)
  wake_all_followers(q, now)
  empty(q)
  -- from now on it tells what comes to it
  q.is_awaited, q.is_followed = 1, 1
  return 1
end

-- redirect_join: join id, row, message id, draft. Returns 'done', also when it has sent its message.
verbs.redirect_join = function()
  local id, row, message_id, draft = take(), take(), take(), take()
  if call('HGET', key_ids(), message_id) == 'j' .. id then
    call('HSET', key_joins(), id, row)
    call('HSET', key_join_drafts(), id, draft)
  end
  return 'done'
end

-- note_records: until when the keys of records that are put are noted; 0: not any more.
verbs.note_records = function()
  local ends = take_number()
  if ends > 0 then call('HSET', key_map(), 'noting', digits(ends)) else call('HDEL', key_map(), 'noting') end
  call('DEL', key_noted())
  return 'done'
end

-- noted_records: until when they are noted further. Returns the keys, which are forgotten, or false: not all were noted.
verbs.noted_records = function()
  local ends = take_number()
  if tonumber(call('HGET', key_map(), 'noting') or 0) <= now then return false end
  local keys = call('SMEMBERS', key_noted())
  call('DEL', key_noted())
  call('HSET', key_map(), 'noting', digits(ends))
  return keys
end
