-- Send: keep messages, unless they are duplicates or refused.
--
-- A draft is two arguments: a packed head (DRAFT; drafts.py packs it) and a tail that only Python reads. An instant or
-- duration that may be missing is one more than its value, 0 without it.

local verbs = {}
local arguments, at

-- Return the next argument.
local function take()
  at = at + 1
  return arguments[at - 1]
end
local function take_number() return tonumber(take()) end

local DRAFT = '>c16BI6I6I6I6Hc0Hc0Hc0'

local function read_draft(d)
  d.id, d.priority, d.bytes, d.delay, d.deliver_at, d.time_to_live, d.group, d.deduplication_id, d.digest =
    read(DRAFT, d.head)
  return d
end

local function take_draft() return read_draft({head = take(), tail = take()}) end

-- Return why a queue cannot accept a draft, or nil (core.lifecycle.refusal). 'digest': the caller must send the SHA-256
-- of the body along, because the queue deduplicates by it.
local function refusal(q, d)
  if d.bytes > q.max_bytes then return 'refused' end
  if q.is_fifo then
    if d.group == '' then return 'refused' end
    if d.deduplication_id == '' and q.content_based == 0 then return 'refused' end
  end
  if q.content_based == 1 and d.deduplication_id == '' and d.digest == '' then return 'digest' end
  return nil
end

-- Return the queue and sequence number of a kept message, or nil. A remnant of a purged queue is nobody's.
local function kept(value)
  if not value or string.sub(value, 1, 1) ~= 'm' then return nil end
  local number, seq = read('>I4I6', value, 2)
  local q = queue_with(number)
  if q then return q, seq end
end

-- Keep a draft that is not refused. Return its sequence number, or {'duplicate', id, sequence number}.
local function send(q, d)
  local deduplication_id, key = d.deduplication_id, nil
  if deduplication_id == '' and q.content_based == 1 then deduplication_id = d.digest end
  if deduplication_id ~= '' then
    key = (q.per_group == 1 and d.group or '') .. '\0' .. deduplication_id
    local known = call('HGET', key_duplicates(q.n), key)
    if known then
      local until_, seq, id = read('>I6I6c16', known)
      if until_ > now then return {'duplicate', id, seq} end
    end
  end
  local name = 'm' .. pack('>I4I6', q.number, q.seq + 1)
  if call('HSETNX', key_ids(), d.id, name) == 0 then
    local value = call('HGET', key_ids(), d.id)
    if string.sub(value, 1, 1) == 'j' then return {'duplicate', d.id, 0} end
    local _, seq = kept(value)
    if seq then return {'duplicate', d.id, seq} end
    call('HSET', key_ids(), d.id, name)
  end
  local visible_at = now + q.delay_ms
  if d.deliver_at > 0 then visible_at = math.max(now, d.deliver_at - 1)
  elseif d.delay > 0 then visible_at = now + d.delay - 1 end
  keep(q, {
    id = d.id, sent_at = now, visible_at = visible_at, priority = d.priority, receives = 0, first_at = 0,
    expires_at = d.time_to_live > 0 and now + d.time_to_live - 1 or 0, group = d.group,
  }, deduplication_id, '', d.tail)
  if key then
    local ends_at = now + q.window_ms
    call('HSET', key_duplicates(q.n), key, pack('>I6I6c16', ends_at, q.seq, d.id))
    call('ZADD', key_expiring(q.n), ends_at, 'd' .. key)
    expect(q, ends_at)
  end
  note(q, 'sent', d.id)
  return q.seq
end

local function settings_of(q) return call('HGET', key_queue(q.name), 'settings') end

do
-- What a head has after id, priority and size, if its message is to be kept now, for as long as others, without a group.
local PLAIN = '\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0'
local NOTHING_MORE = '\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0'

-- Return whether a queue keeps such messages as they come.
local function takes_plain(q)
  return not q.is_fifo and q.content_based == 0 and q.delay_ms == 0 and q.history == 0 and now >= q.fresh_at
end

-- Keep such a message and return its sequence number, or nil: it is too large, or its id is known. No row is made of it,
-- which would cost several times as much.
local function send_plain(q, head, tail)
  local id, priority, bytes = read('>c16BI6', head)
  if bytes > q.max_bytes then return nil end
  local seq = q.seq + 1
  if call('HSETNX', key_ids(), id, 'm' .. pack('>I4I6', q.number, seq)) == 0 then return nil end
  q.seq, q.sent, q.count, q.fresh_at, q.changed = seq, q.sent + 1, q.count + 1, now, true
  list_page(q)
  local content = pack('>c16I6I6I6Bc16', id, now, now, 0, priority, NOTHING_MORE) .. tail
  local key, field = place_of(q, seq)
  later('HSET', key, field, content)
  -- what waits to be written is not found there
  if writes_wait then q.kept[seq] = content end
  expect(q, now + q.retention_ms)
  local lane = lane_of(priority, 0)
  q.fresh_lanes = bor(q.fresh_lanes, bit_of(lane))
  later('RPUSH', key_fresh(q.n, text_of(lane)), digits(seq))
  wake(q, now)
  return seq
end

-- send: queue, count, drafts.
-- Returns 'missing', or for each draft what send returns, or {'refused', settings}, or {'digest'}; with 'digest'
-- nothing was kept of the call.
verbs.send = function()
  local name, count, heads, tails = take(), take_number(), {}, {}
  for index = 1, count do heads[index], tails[index] = take(), take() end
  local q = find_queue(name)
  if not q then return 'missing' end
  local is_plain, drafts, reasons, outcomes = takes_plain(q), {}, {}, {}
  for index, head in ipairs(heads) do
    if not (is_plain and string.sub(head, 24) == PLAIN) then
      local d = read_draft({head = head, tail = tails[index]})
      drafts[index], reasons[index] = d, refusal(q, d)
      if reasons[index] == 'digest' then return 'digest' end
    end
  end
  for index, head in ipairs(heads) do
    local d, reason = drafts[index], reasons[index]
    local seq = not d and send_plain(q, head, tails[index])
    if not seq then
      if not d then
        d = read_draft({head = head, tail = tails[index]})
        reason = refusal(q, d)
      end
      seq = reason and {reason, settings_of(q)} or send(q, d)
    end
    outcomes[index] = seq
  end
  return outcomes
end
end
