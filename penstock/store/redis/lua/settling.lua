-- Settle, and what is done to messages by owner or by id: release, cancel, delete, reschedule.
--
-- Gives: by_id

local RECEIPT_BYTES, TOKEN_BYTES = 18, 12
local NO_ID = '\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0'

local function is_held(row) return row.token and row.visible_at > now end

-- settle: queue, count of receipts, for each its sequence number and token; what to do; unless it is deleted: until,
-- most total ms (+1), detail; the effects if it has any. What to do is a letter for the action (d delete, c change
-- visibility, g give back, l dead-letter, x nothing: a receipt handle is none) and letters for what else holds: f is fenced,
-- a counts any delivery, p parks the group, n is counted, e has effects.
-- Returns the message id when it is done, else {result, message id or '', ...}: gone, stale, expired; missing; invalid; lease_too_long; effects, why.
local function take_settlement()
  local s = {queue = take(), receipts = {}}
  for index = 1, take_number() do s.receipts[index] = {take_number(), take()} end
  local what = take()
  s.action = string.sub(what, 1, 1)
  local function holds(letter) return string.find(what, letter, 2, true) and true or false end
  if #what > 1 then s.is_fenced, s.any_delivery, s.parks, s.is_counted = holds('f'), holds('a'), holds('p'), holds('n') end
  if s.action ~= 'd' then s.ends_at, s.most, s.detail = take_number(), take_number(), take() end
  s.effects = holds('e') and take_effects() or nil
  return s
end

-- Return the row that a settlement may end, or nil and why it may not.
local function held_row(q, s, receipt)
  local row = get_row(q, receipt[1])
  if not row then return nil, {'gone', ''} end
  if receipt[2] ~= row.token then
    local counts = s.any_delivery and row.token and s.action == 'c' and not (s.is_fenced or s.parks or s.effects)
    if not counts then return nil, {'stale', row.id} end
  end
  if row.visible_at <= now and (s.is_fenced or q.is_strict) then return nil, {'expired', row.id} end
  local is_longer = s.action == 'c' and s.most > 0 and row.received_at > 0 and s.ends_at ~= now
  if is_longer and s.ends_at > row.received_at + s.most - 1 then return nil, {'lease_too_long', row.id} end
  return row
end

local function end_row(q, s, row)
  if s.parks and row.group ~= '' then
    local g = get_group(q, row.group)
    g.is_parked, g.changed = 1, true
    call('ZADD', key_parked(q.n), 0, g.id)
  end
  if s.action == 'c' then
    change_visibility(q, row, s.ends_at)
    note(q, 'visibility_changed', row.id, s.detail)
    return
  end
  if s.action == 'g' then
    if s.is_counted then settle_busy(q, row) end
    give_back(q, row, s.ends_at, s.is_counted)
    note(q, 'visibility_changed', row.id, s.detail)
    return
  end
  settle_busy(q, row)
  if s.action == 'l' and dead_letter(q, row, s.detail) then return wake(q, now) end
  forget(q, row)
  q.deleted = q.deleted + 1
  note(q, 'deleted', row.id, s.action == 'l' and s.detail)
  wake_if_freed(q, row)
end

verbs.settle = function()
  local s = take_settlement()
  local q = find_queue(s.queue)
  if not q then return {'missing', ''} end
  if s.action == 'x' then return {'invalid', ''} end
  local rows = {}
  for index, receipt in ipairs(s.receipts) do
    local row, why = held_row(q, s, receipt)
    if not row then return why end
    rows[index] = row
  end
  local id = rows[1].id
  local refused = s.effects and effects_refusal(s.effects)
  if refused then return {'effects', id, refused} end
  for _, row in ipairs(rows) do end_row(q, s, row) end
  if s.effects then apply_effects(s.effects) end
  return id
end

-- Forget those of some messages of one page that are plain and held as their receipts say: without a group, not expiring, in a
-- queue that tells nobody. Of these no row is made. Notes their ids; the others are left.
local function forget_plain(q, is_fenced, seqs, first, last, packed, ids)
  local fields, key, _ = {}, nil, nil
  for index = first, last do key, _, fields[index - first + 1] = place_of(q, seqs[index]) end
  local states, sub = ask('HMGET', key, unpack(fields)), string.sub
  local gone, gone_ids, names, owners = {}, {}, {}, {}
  local number = pack('>I4', q.number)
  for index = first, last do
    local state, seq = q.rows[seqs[index]], seqs[index]
    if state == nil then state = states[index - first + 1] end
    local from = (index - 1) * RECEIPT_BYTES + 1
    if type(state) == 'string' and sub(state, 59, 70) == sub(packed, from + 6, from + RECEIPT_BYTES - 1) then
      local visible_at, expires_at, _, _, holds = read('>I6I6BBB', state, 23)
      local is_held = holds == 1 and (visible_at > now or not (is_fenced or q.is_strict))
      if is_held and expires_at == 0 and sub(state, 71, 72) == '\0\0' then
        local id, name, owner = sub(state, 1, 16), sub(packed, from, from + 5), sub(state, 75)
        local count = #names + 1
        gone[2 * count - 1], gone[2 * count] = fields[index - first + 1], text_of(seq % PAGE)
        ids[index], gone_ids[count], names[count], q.rows[seq] = id, id, name, false
        if owner ~= '' then
          owners[owner] = owners[owner] or {}
          owners[owner][#owners[owner] + 1] = number .. name
        end
      end
    end
  end
  local count = #names
  if count == 0 then return end
  call('HDEL', key, unpack(gone))
  call('HDEL', key_ids(), unpack(gone_ids))
  call('ZREM', key_leased(q.n), unpack(names))
  for owner, held in pairs(owners) do call('SREM', key_owner(owner), unpack(held)) end
  if page_of(seqs[first]) ~= q.page then
    q.emptied = q.emptied or {}
    q.emptied[page_of(seqs[first])] = key
  end
  q.count, q.deleted, q.changed = q.count - count, q.deleted + count, true
  if q.count == 0 then clean_up(q) end
end

-- settle_alike: queue, are fenced, receipts, records. Deletes each message whose receipt is right, and keeps its record if there
-- are any; a receipt is a sequence number of 6 bytes and a token.
-- Returns 'missing', or {ids of 16 bytes, of zeros where nothing was done; place, why, ...}: gone, stale, expired.
verbs.settle_alike = function()
  local q, s, packed = find_queue(take()), {action = 'd', is_fenced = take() == '1'}, take()
  local records, sets = take_records()
  if not q then return 'missing' end
  local seqs, ids, others = {}, {}, {}
  for from = 1, #packed, RECEIPT_BYTES do seqs[#seqs + 1] = seq_of(string.sub(packed, from, from + 5)) end
  if q.history < 2 and q.max_in_flight == 0 then
    local first = 1
    while first <= #seqs do
      local last = first
      while last < #seqs and page_of(seqs[last + 1]) == page_of(seqs[first]) do last = last + 1 end
      forget_plain(q, s.is_fenced, seqs, first, last, packed, ids)
      first = last + 1
    end
  end
  for index, seq in ipairs(seqs) do
    if not ids[index] then
      local from = (index - 1) * RECEIPT_BYTES + 7
      local row, why = held_row(q, s, {seq, string.sub(packed, from, from + TOKEN_BYTES - 1)})
      if row then
        ids[index] = row.id
        end_row(q, s, row)
      else
        ids[index] = NO_ID
        others[#others + 1] = index
        others[#others + 1] = why
      end
    end
  end
  put_records(records, sets, function(index) return ids[index] ~= NO_ID end)
  return {table.concat(ids), others}
end

-- release: owner. Returns how many leases were given back.
verbs.release = function()
  local held, released = call('SMEMBERS', key_owner(take())), 0
  for index, name in ipairs(held) do held[index] = {read('>I4I6', name)} end
  table.sort(held, function(a, b) return a[1] < b[1] or (a[1] == b[1] and a[2] < b[2]) end)
  for _, name in ipairs(held) do
    local q = queue_with(name[1])
    local row = q and get_row(q, name[2])
    if row and is_held(row) then
      change_visibility(q, row, now)
      note(q, 'visibility_changed', row.id, 'its owner died')
      released = released + 1
    end
  end
  return released
end

-- Return the queue and row of a message by id, or nil, or the join that holds it; wanted: of this queue only, '' any.
function by_id(id, wanted)
  local value = call('HGET', key_ids(), id)
  local join = held_join(value)
  if join then
    if wanted == '' or join.queue == wanted then return nil, nil, join end
    return nil
  end
  local q, seq = kept(value)
  if q and (wanted == '' or q.name == wanted) then return q, get_row(q, seq) end
  return nil
end

-- Do something with each of the ids in the arguments; return the outcomes.
local function each_id(act)
  local wanted, outcomes = take(), {}
  for index = 1, take_number() do outcomes[index] = act(by_id(take(), wanted)) end
  return outcomes
end

-- cancel: queue or '', count, ids. Returns for each done, in_flight or gone.
verbs.cancel = function()
  return each_id(function(q, row, join)
    if join then
      close_join(join)
      return 'done'
    end
    if not row then return 'gone' end
    if is_held(row) then return 'in_flight' end
    forget(q, row)
    note(q, 'cancelled', row.id)
    wake_if_freed(q, row)
    return 'done'
  end)
end

-- delete: only in flight, queue or '', count, ids. Returns for each done or gone.
verbs.delete = function()
  local only_in_flight = take() == '1'
  return each_id(function(q, row, join)
    if join and not only_in_flight then
      close_join(join)
      return 'done'
    end
    if not row then return 'gone' end
    if is_held(row) then settle_busy(q, row)
    elseif only_in_flight then return 'gone' end
    forget(q, row)
    q.deleted = q.deleted + 1
    note(q, 'deleted', row.id)
    wake_if_freed(q, row)
    return 'done'
  end)
end

-- reschedule: deliver at, queue or '', count, ids. Returns for each done, in_flight or gone.
verbs.reschedule = function()
  local deliver_at = take_number()
  return each_id(function(q, row, join)
    if join then
      -- only the instant in the draft's head changes: after id, priority, bytes and delay
      local head, tail = draft_of(join)
      save_draft(join, string.sub(head, 1, 29) .. pack('>I6', deliver_at + 1) .. string.sub(head, 36), tail)
      return 'done'
    end
    if not row then return 'gone' end
    if is_held(row) then return 'in_flight' end
    unplace(q, row)
    set_owner(q, row, '')
    row.token, row.comes_back, row.visible_at = nil, 0, math.max(now, deliver_at)
    row.timed = row.visible_at > now and 1 or 0
    save_state(q, row)
    place(q, row)
    note(q, 'rescheduled', row.id, digits(row.visible_at))
    wake(q, row.visible_at)
    wake_followers(q, row, row.visible_at)
    return 'done'
  end)
end
