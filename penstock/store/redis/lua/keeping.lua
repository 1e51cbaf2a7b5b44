-- The steps verbs are made of: keep, forget, lease, change visibility, dead-letter.

-- Put a row in its lists; a message of a group is reseated with it.
local function place(q, row)
  local n, name, lane = q.n, member(row.seq), lane_of(row.priority, row.comes_back)
  q.changed = true
  if row.group == '' then
    local score = digits(lane * LANE + row.visible_at)
    if row.token then
      q.leased_lanes = bor(q.leased_lanes, bit_of(lane))
      later('ZADD', key_leased(n), score, name)
    elseif row.has_state or row.timed == 1 then
      q.waiting_lanes = bor(q.waiting_lanes, bit_of(lane))
      later('ZADD', key_waiting(n), score, name)
    else
      q.fresh_lanes = bor(q.fresh_lanes, bit_of(lane))
      later('RPUSH', key_fresh(n, text_of(lane)), digits(row.seq))
    end
    return
  end
  q.group_lanes = bor(q.group_lanes, bit_of(q.is_strict and lane_of(row.priority, 0) or lane))
  call('ZADD', key_group_rows(n, row.group), digits(q.is_strict and row.seq or lane * LANE + row.visible_at), name)
  if row.token then
    local at = digits(row.visible_at)
    call('ZADD', key_group_leases(n, row.group), at, name)
    call('ZADD', key_grouped_leases(n), at, name)
  elseif row.timed == 1 then
    call('ZADD', key_grouped_delays(n), digits(row.visible_at), name)
  end
  reseat(q, get_group(q, row.group))
end

-- Take a row out of its lists, to change it; holds: it will have a token, and that list is only written anew.
local function unplace(q, row, holds)
  local n, name = q.n, member(row.seq)
  if row.group == '' then
    if row.token then
      if not holds then later('ZREM', key_leased(n), name) end
    elseif row.has_state or row.timed == 1 then
      later('ZREM', key_waiting(n), name)
    elseif not row.is_popped then
      q.ghosts = q.ghosts + 1
    end
  elseif row.token then
    if not holds then
      call('ZREM', key_group_leases(n, row.group), name)
      call('ZREM', key_grouped_leases(n), name)
    end
  elseif row.timed == 1 then
    call('ZREM', key_grouped_delays(n), name)
  end
end

-- List the page of a queue's last sequence number, if it is not.
local function list_page(q)
  local page = page_of(q.seq)
  if page == q.page and q.count > 1 then return end
  if q.count > 1 and call('EXISTS', key_page(q.n, q.page)) == 0 then call('ZREM', key_pages(q.n), q.page) end
  call('ZADD', key_pages(q.n), page, page)
  q.page = page
end

-- Give a row its number in a queue and place it; tail is what only Python reads of its content.
local function keep(q, row, deduplication_id, source, tail)
  q.seq, q.sent, q.count, q.changed = q.seq + 1, q.sent + 1, q.count + 1, true
  row.seq, row.has_state, row.token, row.owner, row.comes_back, row.received_at = q.seq, false, nil, '', 0, 0
  row.timed = row.visible_at > now and 1 or 0
  if row.group == '' and row.timed == 0 then
    -- a clock that went back must not put what it sends before what is there
    if row.visible_at < q.fresh_at then row.timed = 1 else q.fresh_at = row.visible_at end
  end
  list_page(q)
  row.content = pack(CONTENT, row.id, row.sent_at, row.visible_at, row.expires_at, row.priority, row.timed, row.receives,
    row.first_at, #row.group, row.group, #deduplication_id, deduplication_id, #source, source) .. tail
  row.carried = row.receives
  local key, field = place_of(q, row.seq)
  later('HSET', key, field, row.content)
  expect(q, row.sent_at + q.retention_ms)
  if row.expires_at > 0 then
    later('ZADD', key_expiring(q.n), row.expires_at, 'm' .. member(row.seq))
    expect(q, row.expires_at)
  end
  q.rows[row.seq] = row
  if row.group ~= '' then
    local g = get_group(q, row.group)
    g.count, g.changed, g.last_sent_at = g.count + 1, true, now
  end
  place(q, row)
  if q.is_strict and row.group ~= '' then
    local g = get_group(q, row.group)
    -- behind others: nobody but who follows one of them may receive it next
    if g.count > 1 then return wake_group(q, g, row.visible_at) end
  end
  wake(q, row.visible_at)
end

-- Wake who follows in a strict group, and under a limit who follows in any group when a lease ends.
local function wake_followers(q, row, at, frees_at)
  if not q.is_strict then return end
  if row.group ~= '' then wake_group(q, get_group(q, row.group), at) end
  if q.max_in_flight > 0 then wake_all_followers(q, frees_at or at) end
end

-- Unlist the pages that messages were removed from and that hold no more.
local function unlist_pages(q)
  for page, key in pairs(q.emptied) do
    if call('EXISTS', key) == 0 then call('ZREM', key_pages(q.n), page) end
  end
end

-- Start with empty lists: what is left in them of a queue without messages are ghosts.
local function clean_up(q)
  each_lane(q.fresh_lanes, function(lane) call('DEL', key_fresh(q.n, text_of(lane))) end)
  call('DEL', key_pages(q.n))
  q.fresh_lanes, q.waiting_lanes, q.leased_lanes, q.group_lanes, q.ghosts = 0, 0, 0, 0, 0
end

-- Remove a row.
local function forget(q, row)
  local key, field, state_field = place_of(q, row.seq)
  -- a removal first: Redis refuses what may grow when its memory is full, but not after a script's first write
  later('HDEL', key, field, state_field)
  later('HDEL', key_ids(), row.id)
  unplace(q, row)
  if page_of(row.seq) ~= q.page then
    q.emptied = q.emptied or {}
    q.emptied[page_of(row.seq)] = key
  end
  if row.expires_at > 0 then later('ZREM', key_expiring(q.n), 'm' .. member(row.seq)) end
  set_owner(q, row, '')
  q.rows[row.seq] = false
  q.count, q.changed = q.count - 1, true
  wake_followers(q, row, now)
  if row.group ~= '' then
    call('ZREM', key_group_rows(q.n, row.group), member(row.seq))
    local g = get_group(q, row.group)
    g.count = g.count - 1
    reseat(q, g)
  end
  if q.count == 0 then clean_up(q) end
end

-- Hand a row out.
local function lease(q, row, token, ends_at, owner)
  unplace(q, row, true)
  set_owner(q, row, owner)
  row.token, row.visible_at, row.received_at, row.timed = token, ends_at, now, 0
  row.comes_back = q.comes_back
  row.receives = row.receives + 1
  if row.first_at == 0 then row.first_at = now end
  save_state(q, row)
  place(q, row)
  q.received = q.received + 1
  note(q, 'received', row.id, owner ~= '' and owner)
end

-- Let a lease last until an instant; now gives it back.
local function change_visibility(q, row, ends_at)
  unplace(q, row, row.token)
  row.visible_at = ends_at
  save_state(q, row)
  place(q, row)
  wake(q, ends_at)
  wake_followers(q, row, ends_at)
end

-- Wake who waits, if what became of a message let its group go on or made room under the limit.
local function wake_if_freed(q, row)
  if row.group ~= '' or q.max_in_flight > 0 then wake(q, now) end
end

-- Let go of a row until an instant. Its token goes, so that it cannot be given back twice.
local function give_back(q, row, visible_at, is_counted)
  unplace(q, row)
  set_owner(q, row, '')
  row.receives, row.token, row.visible_at = row.receives - (is_counted and 0 or 1), nil, visible_at
  row.timed = visible_at > now and 1 or 0
  save_state(q, row)
  place(q, row)
  wake(q, visible_at)
  wake_if_freed(q, row)
  wake_followers(q, row, visible_at, now)
end

-- Move a row to the dead-letter queue; return whether there is one.
local function dead_letter(q, row, reason)
  local target = q.dead_letter_queue ~= '' and find_queue(q.dead_letter_queue)
  if not target then return false end
  local content = row.content or get_row(q, row.seq, true).content
  local parts = {read(CONTENT, content)}
  local deduplication_id, tail = parts[10], string.sub(content, parts[12])
  forget(q, row)
  note(q, 'dead_lettered', row.id, reason)
  call('HSET', key_ids(), row.id, 'm' .. pack('>I4I6', target.number, target.seq + 1))
  keep(target, {
    id = row.id, sent_at = q.is_fifo and now or row.sent_at, visible_at = now, expires_at = row.expires_at,
    priority = row.priority, receives = row.receives, first_at = row.first_at, group = row.group,
  }, deduplication_id, q.name, tail)
  return true
end

-- Forget a row that has expired, or dead-letter one that is spent; return whether it was one of these.
local function clear(q, row)
  if (row.expires_at > 0 and row.expires_at <= now) or row.sent_at + q.retention_ms <= now then
    forget(q, row)
    note(q, 'expired', row.id)
    return true
  end
  if q.max_receives > 0 and row.receives - row.carried >= q.max_receives then
    return dead_letter(q, row, 'received too often')
  end
  return false
end
