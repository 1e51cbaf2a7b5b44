-- Message rows. A page holds, for each of 128 sequence numbers, a content, which never changes, and a state, which is
-- there as soon as the message was handed out or rescheduled. rows.py reads the same structs.
--
-- Where a message without group is listed follows from its row: with a token among the leased; without one and without
-- state, and not timed, among the fresh; else among the waiting. A message of a group is listed in its group; with a
-- token among the grouped leases too; without one, and timed, among the grouped delays.

local PAGE = 128
local CONTENT = '>c16I6I6I6BBI4I6Hc0Hc0Bc0'
local STATE = '>c16I6I6I6BBBBI4I4I6I6c12Hc0Hc0'
local NO_TOKEN = '\0\0\0\0\0\0\0\0\0\0\0\0'

local function page_of(seq) return floor(seq / PAGE) end
local function member(seq) return pack('>I6', seq) end
local function seq_of(text) return (read('>I6', text)) end
local function bit_of(lane) return lshift(1, lane) end

-- Return the key of a sequence number's page, and the fields of its content and its state.
local state_fields = {}
local function place_of(q, seq)
  local page, field = page_of(seq), text_of(seq % PAGE)
  if q.page_read ~= page then q.page_read, q.page_key = page, key_page(q.n, digits(page)) end
  local state_field = state_fields[field]
  if not state_field then
    state_field = 's' .. field
    state_fields[field] = state_field
  end
  return q.page_key, field, state_field
end

-- The lane of a priority (core.lifecycle.lane_of).
local function lane_of(priority, comes_back) return 2 * (9 - priority) + (comes_back == 1 and 0 or 1) end

-- Make a row of what a page holds; state is false for a message in the state it was sent in.
local function row_of(seq, content, state)
  -- each table is made at once: one that grows is copied again and again
  if state then
    local id, sent_at, visible_at, expires_at, priority, timed, holds, comes_back, receives, carried, first_at,
      received_at, token, group, owner = read(STATE, state)
    return {seq = seq, has_state = true, is_popped = false, content = content, id = id, sent_at = sent_at,
      visible_at = visible_at, expires_at = expires_at, priority = priority, timed = timed, comes_back = comes_back,
      receives = receives, carried = carried, first_at = first_at, received_at = received_at,
      token = holds == 1 and token or nil, group = group, owner = owner}
  end
  local id, sent_at, visible_at, expires_at, priority, timed, carried, first_at, group = read(CONTENT, content)
  return {seq = seq, has_state = false, is_popped = false, content = content, id = id, sent_at = sent_at,
    visible_at = visible_at, expires_at = expires_at, priority = priority, timed = timed, comes_back = 0,
    receives = carried, carried = carried, first_at = first_at, received_at = 0, token = nil, group = group, owner = ''}
end

-- Return what this step knows of a row: nil nothing, false that there is none. What it wrote without making a row of it,
-- is there as a state, or as a content if it was sent and no more.
local function known_row(q, seq)
  local row = q.rows[seq]
  if row == nil then
    local content = q.kept[seq]
    if not content then return nil end
    row = row_of(seq, content, false)
    q.rows[seq] = row
  elseif type(row) == 'string' then
    row = row_of(seq, nil, row)
    q.rows[seq] = row
  end
  return row
end

-- Return the row of a kept message, or nil.
local function get_row(q, seq, wants_content)
  local row = known_row(q, seq)
  if row == nil then
    -- what this step has written is in q.rows: no write needs to be made for what is asked here
    local key, field, state_field = place_of(q, seq)
    local state = ask('HGET', key, state_field)
    local content = (wants_content or not state) and ask('HGET', key, field)
    if not (state or content) then return nil end
    row = row_of(seq, content, state)
    q.rows[seq] = row
  elseif wants_content and row and not row.content then
    local key, field = place_of(q, seq)
    row.content = ask('HGET', key, field)
  end
  return row or nil
end

-- Return the rows of many sequence numbers in their order; false where there is none.
local function get_rows(q, seqs)
  local found, at = {}, 1
  while at <= #seqs do
    local page = page_of(seqs[at])
    local fields, first, key = {}, at, nil
    while at <= #seqs and page_of(seqs[at]) == page do
      key, fields[#fields + 1], fields[#fields + 2] = place_of(q, seqs[at])
      at = at + 1
    end
    local values = ask('HMGET', key, unpack(fields))
    for index = first, at - 1 do
      local seq, content, state = seqs[index], values[2 * (index - first) + 1], values[2 * (index - first) + 2]
      local row = known_row(q, seq)
      if row == nil and content then
        row = row_of(seq, content, state)
        q.rows[seq] = row
      elseif row and not row.content then
        row.content = content
      end
      found[index] = row or false
    end
  end
  return found
end

local function save_state(q, row)
  row.has_state = true
  local key, _, field = place_of(q, row.seq)
  later('HSET', key, field, pack(STATE, row.id, row.sent_at,
    row.visible_at, row.expires_at, row.priority, row.timed, row.token and 1 or 0, row.comes_back, row.receives,
    row.carried, row.first_at, row.received_at, row.token or NO_TOKEN, #row.group, row.group, #row.owner, row.owner))
end

-- Return the sequence numbers after one, in order, at most so many.
local function seqs_after(q, after, limit)
  local found, page = {}, page_of(after + 1)
  while #found < limit do
    local pages = call('ZRANGEBYSCORE', key_pages(q.n), page, '+inf', 'LIMIT', 0, 8)
    for _, each in ipairs(pages) do
      page = tonumber(each)
      local seqs = {}
      for _, field in ipairs(call('HKEYS', key_page(q.n, each))) do
        local place = tonumber(field)
        if place and page * PAGE + place > after then seqs[#seqs + 1] = page * PAGE + place end
      end
      table.sort(seqs)
      for _, seq in ipairs(seqs) do
        if #found < limit then found[#found + 1] = seq end
      end
    end
    if #pages < 8 then break end
    page = page + 1
  end
  return found
end

-- Return the message with the lowest sequence number, or nil.
local function oldest(q)
  if q.count == 0 then return nil end
  local seq = seqs_after(q, 0, 1)[1]
  return seq and get_row(q, seq)
end

local function set_owner(q, row, owner)
  if row.owner == owner then return end
  local name = pack('>I4I6', q.number, row.seq)
  if row.owner ~= '' then later('SREM', key_owner(row.owner), name) end
  if owner ~= '' then later('SADD', key_owner(owner), name) end
  row.owner = owner
end
