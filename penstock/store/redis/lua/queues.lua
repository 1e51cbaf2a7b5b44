-- Queues as the verbs see them: read once in a script, written once at its end.
--
-- A queue's row is two packed fields: facts, what Python made of its settings, and counts, what changes with every
-- message. Both are structs; the Python side of FACTS is settings.py.

-- Redis loads a library without any other; each step begins with these.
local ask, pack, read, floor, band, bor, lshift

-- Writes that wait, by key: of one step many to one key go to Redis as one command, which costs a third of as many. They
-- are made before anything else is done with their key, and at the end of the step.
local waiting_writes, changed_records, writes_wait
local MOST_TOGETHER = 1000

local function write(key)
  local command = waiting_writes[key]
  waiting_writes[key] = nil
  ask(unpack(command))
end

local function write_all()
  for key in pairs(waiting_writes) do write(key) end
end

-- Run a command of Redis; its key comes first.
local function call(command, key, ...)
  if waiting_writes[key] then write(key) end
  return ask(command, key, ...)
end

-- Run a command that answers nothing needed, on one or two more arguments, with others of its kind.
local function later(command, key, one, two)
  if not writes_wait then
    if two then ask(command, key, one, two) else ask(command, key, one) end
    return
  end
  local known = waiting_writes[key]
  if known and (known[1] ~= command or #known > MOST_TOGETHER) then
    write(key)
    known = nil
  end
  if not known then
    waiting_writes[key] = {command, key, one, two}
    return
  end
  local size = #known
  known[size + 1], known[size + 2] = one, two
end

local now = 0
local LANE = 281474976710656 -- 2^48: a score is lane * LANE + instant, exact in a double
local LANES = 20
local NOISY_LANE = LANES
local FOR_EVER = LANE - 1

local FACTS = '>BBBBBBBI6I6I6I6I6I6I6I6I6Bc0'
local COUNTS = '>I4I6I6I4I4I4I4I6I6I6I6I6I6I6I6I6I6I6I6BB'

local loaded, wakeups, noting -- begun anew by every step

-- Lua writes large numbers with an exponent, Redis wants digits; and nothing here costs as much as writing a number.
local function digits(number) return string.format('%d', number) end

local texts = {}

-- Return the digits of a small number.
local function text_of(number)
  local text = texts[number]
  if not text then
    text = digits(number)
    texts[number] = text
  end
  return text
end

local facts_in
do
local known_facts, known_count, MOST_KNOWN = {}, 0, 1000

-- Return packed facts as what a queue has besides its counts; what was read of them is kept from step to step.
function facts_in(packed)
  local known = known_facts[packed]
  if known then return known end
  local is_strict, is_fifo, comes_back, is_paused, history, content_based, per_group, visibility_ms, delay_ms,
    retention_ms, max_bytes, wait_ms, window_ms, max_in_flight, group_max, max_receives, dead_letter_queue =
    read(FACTS, packed)
  known = {__index = {is_strict = is_strict == 1, is_fifo = is_fifo == 1, comes_back = comes_back,
    is_paused = is_paused == 1, history = history, content_based = content_based, per_group = per_group,
    visibility_ms = visibility_ms, delay_ms = delay_ms, retention_ms = retention_ms, max_bytes = max_bytes,
    wait_ms = wait_ms, window_ms = window_ms, max_in_flight = max_in_flight, group_max = group_max,
    max_receives = max_receives, dead_letter_queue = dead_letter_queue}}
  if known_count == MOST_KNOWN then known_facts, known_count = {}, 0 end
  known_facts[packed], known_count = known, known_count + 1
  return known
end
end

-- Return a queue, or false.
local function find_queue(name)
  local q = loaded[name]
  if q ~= nil then return q end
  local row = call('HMGET', key_queue(name), 'facts', 'counts')
  if not row[1] then
    loaded[name] = false
    return false
  end
  local number, seq, turn, fresh_lanes, waiting_lanes, leased_lanes, group_lanes, group_count, count, sent, received,
    deleted, fresh_at, ghosts, page, sweep_at, busy_period, busy_now, busy_before, is_awaited, is_followed =
    read(COUNTS, row[2])
  -- the table is made at once: one that grows is copied again and again
  q = setmetatable({name = name, n = digits(number), read_groups = {}, rows = {}, kept = {}, changed = false,
    page_read = false, page_key = '', number = number, seq = seq, turn = turn, fresh_lanes = fresh_lanes,
    waiting_lanes = waiting_lanes, leased_lanes = leased_lanes, group_lanes = group_lanes, group_count = group_count,
    count = count, sent = sent, received = received, deleted = deleted, fresh_at = fresh_at, ghosts = ghosts,
    page = page, sweep_at = sweep_at, busy_period = busy_period, busy_now = busy_now, busy_before = busy_before,
    is_awaited = is_awaited, is_followed = is_followed}, facts_in(row[1]))
  loaded[name] = q
  return q
end

local function save_queue(q)
  call('HSET', key_queue(q.name), 'counts', pack(COUNTS, q.number, q.seq, q.turn, q.fresh_lanes, q.waiting_lanes,
    q.leased_lanes, q.group_lanes, q.group_count, q.count, q.sent, q.received, q.deleted, q.fresh_at, q.ghosts, q.page,
    q.sweep_at, q.busy_period, q.busy_now, q.busy_before, q.is_awaited, q.is_followed))
end

-- Return the queue with a number, or false: it was purged or deleted.
local function queue_with(number)
  local name = call('HGET', key_numbers(), number)
  return name and find_queue(name)
end

local function tell_of(name, at)
  local known = wakeups[name]
  if not known or at < known then wakeups[name] = at end
end

-- Tell that something may be receivable from an instant on, if somebody found nothing since it was last told.
local function wake(q, at)
  if q.is_awaited == 0 then return end
  if at <= now then
    q.is_awaited, q.changed = 0, true
  end
  tell_of(q.name, at)
end

-- The same to those who follow in any group of the queue.
local function wake_all_followers(q, at)
  if q.is_followed == 0 then return end
  if at <= now then
    q.is_followed, q.changed = 0, true
  end
  tell_of(q.name .. '\n', at)
end

-- Note that something of a queue is to be swept at an instant.
local function expect(q, at)
  if q.sweep_at == 0 or at < q.sweep_at then
    q.sweep_at, q.changed = at, true
    call('ZADD', key_due(), at, q.number)
  end
end

-- Keep an event, if the queue's history wants it.
local function note(q, kind, id, detail)
  if q.history == 0 or (q.history == 1 and kind ~= 'dead_lettered' and kind ~= 'expired') then return end
  local event = call('HINCRBY', key_counters(), 'event', 1)
  if detail then
    call('XADD', key_events(), event .. '-0', 'at', now, 'queue', q.name, 'id', id, 'kind', kind, 'detail', detail)
  else
    call('XADD', key_events(), event .. '-0', 'at', now, 'queue', q.name, 'id', id, 'kind', kind)
  end
  local known = call('HGET', key_events_of(), id) or ''
  call('HSET', key_events_of(), id, known .. pack('>I6', event))
end
