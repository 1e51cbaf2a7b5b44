-- Effects: what happens together with a settlement or alone, all of it or none, if its guards hold: records forgotten,
-- sends, records, joins, arrivals.
--
-- Gives: take_effects, effects_refusal, apply_effects, close_join, held_join, draft_of, save_draft, shown_record,
-- Gives: put_record, take_record, forget_record, close_if_expired, take_records, put_records

local JOIN = '>I4I6c16Bc0'
local RECORD = '>I6I4c0'
local TAG = '>I4c0I4c0'

function take_record()
  local record = {key = take(), value = take(), ends = take_number(), only_if_absent = take() == '1', tags = {}}
  for tag = 1, take_number() do record.tags[tag] = {take(), take()} end
  return record
end

-- Read effects from the arguments: counts of guards, forgets, sends, records, joins and arrivals, then each of them.
function take_effects()
  local effects = {guards = {}, forgets = {}, sends = {}, records = {}, joins = {}, arrivals = {}}
  local guards, forgets, sends = take_number(), take_number(), take_number()
  local records, joins, arrivals = take_number(), take_number(), take_number()
  for index = 1, guards do effects.guards[index] = {key = take(), has_value = take() == '1', value = take()} end
  for index = 1, forgets do effects.forgets[index] = take() end
  for index = 1, sends do
    local name = take()
    effects.sends[index] = {queue = name, draft = take_draft()}
  end
  for index = 1, records do effects.records[index] = take_record() end
  for index = 1, joins do
    local join = {id = take(), parts = take_number(), ends = take_number(), queue = take()}
    join.draft = take_draft()
    effects.joins[index] = join
  end
  for index = 1, arrivals do effects.arrivals[index] = {join = take(), part = take()} end
  return effects
end

-- Return a record as it is kept, or false.
local function record_row(key)
  return (changed_records[key] and call or ask)('HGET', key_records(), key)
end

-- Return the unexpired record of a key as {key, value, ends (+1), tags}, or false.
function shown_record(key)
  local row = record_row(key)
  if not row then return false end
  local ends, tags, from = read(RECORD, row)
  if ends > 0 and ends - 1 <= now then return false end
  return {key, string.sub(row, from), ends, tags}
end

-- Return why effects cannot happen, or nil: {'guard', which} or {'missing', which} or {'refused', which, settings}; which
-- counts guards, or sends and then joins, from 0. What is checked here cannot fail later.
function effects_refusal(effects)
  for index, guard in ipairs(effects.guards) do
    local record = shown_record(guard.key)
    if guard.has_value ~= (record and true) or (record and record[2] ~= guard.value) then
      if guard.has_value or record then return {'guard', index - 1} end
    end
  end
  local which = 0
  for _, list in ipairs({effects.sends, effects.joins}) do
    for _, each in ipairs(list) do
      local q = find_queue(each.queue)
      if not q then return {'missing', which} end
      local reason = refusal(q, each.draft)
      if reason then return {reason, which, settings_of(q)} end
      which = which + 1
    end
  end
  return nil
end

-- -- records --------------------------------------------------------------------------------------------------------

-- Return the words to find a record by, and when it ends (+1).
local function tags_of(row)
  local ends, tags = read(RECORD, row)
  local found, from = {}, 1
  while from <= #tags do
    local name, value
    name, value, from = read(TAG, tags, from)
    found[#found + 1] = name .. '=' .. value
  end
  return found, ends
end

function forget_record(key)
  local row = record_row(key)
  if not row then return false end
  local tags, ends = tags_of(row)
  changed_records[key] = true
  later('HDEL', key_records(), key)
  for _, tag in ipairs(tags) do later('ZREM', key_tagged(tag), key) end
  later('ZREM', key_record_keys(), key)
  if ends > 0 then later('ZREM', key_record_ends(), key) end
  return true
end

-- Keep a record; return 1, or 0 where one is there and it is kept only if absent.
function put_record(record)
  local row = record_row(record.key)
  if row then
    local ends = read('>I6', row)
    if record.only_if_absent and (ends == 0 or ends - 1 > now) then return 0 end
    forget_record(record.key)
  end
  local tags = {}
  for index, tag in ipairs(record.tags) do
    tags[index] = pack(TAG, #tag[1], tag[1], #tag[2], tag[2])
    later('ZADD', key_tagged(tag[1] .. '=' .. tag[2]), '0', record.key)
  end
  local packed = table.concat(tags)
  changed_records[record.key] = true
  if noting > now then later('SADD', key_noted(), record.key) end
  later('HSET', key_records(), record.key, pack(RECORD, record.ends, #packed, packed) .. record.value)
  later('ZADD', key_record_keys(), '0', record.key)
  if record.ends > 0 then later('ZADD', key_record_ends(), digits(record.ends - 1), record.key) end
  return 1
end

-- Read many records from the arguments: how many, how many sets of tags, each with its size and its tags as name=value; then
-- for each record its key, its row, the number of its set, and when it ends ('' never).
function take_records()
  local records, sets, count = {}, {}, take_number()
  for number = 1, take_number() do
    local set = {keys = {}, members = {}}
    for tag = 1, take_number() do set.keys[tag] = key_tagged(take()) end
    sets[number] = set
  end
  for index = 1, count do records[index] = {take(), take(), sets[take_number()], take()} end
  return records, sets
end

-- Keep those of many records with different keys that are wanted, with a few commands for all.
function put_records(records, sets, is_wanted)
  local keys, wanted = {}, {}
  for index, record in ipairs(records) do
    if is_wanted(index) then
      keys[#keys + 1], wanted[#wanted + 1] = record[1], record
    end
  end
  if #keys == 0 then return end
  local known = call('HMGET', key_records(), unpack(keys))
  local rows, names, ends = {}, {}, {}
  for index, record in ipairs(wanted) do
    local key, members = record[1], record[3].members
    if known[index] then forget_record(key) end
    if noting > now then later('SADD', key_noted(), key) end
    rows[2 * index - 1], rows[2 * index], names[2 * index - 1], names[2 * index] = key, record[2], '0', key
    members[#members + 1] = '0'
    members[#members + 1] = key
    if record[4] ~= '' then
      ends[#ends + 1] = record[4]
      ends[#ends + 1] = key
    end
  end
  call('HSET', key_records(), unpack(rows))
  call('ZADD', key_record_keys(), unpack(names))
  if #ends > 0 then call('ZADD', key_record_ends(), unpack(ends)) end
  for _, set in ipairs(sets) do
    for _, key in ipairs(set.keys) do
      if #set.members > 0 then call('ZADD', key, unpack(set.members)) end
    end
  end
end

-- -- joins ----------------------------------------------------------------------------------------------------------

local function read_join(id)
  local row = call('HGET', key_joins(), id)
  if not row then return nil end
  local join = {id = id}
  join.parts, join.ends, join.message_id, join.queue = read(JOIN, row)
  return join
end

-- Return head and tail of the message a join will send.
function draft_of(join)
  local packed = call('HGET', key_join_drafts(), join.id)
  local head, from = read('>I4c0', packed)
  return head, string.sub(packed, from)
end

function save_draft(join, head, tail)
  call('HSET', key_join_drafts(), join.id, pack('>I4c0', #head, head) .. tail)
end

-- Forget a join.
function close_join(join)
  call('HDEL', key_joins(), join.id)
  call('HDEL', key_join_drafts(), join.id)
  call('DEL', key_join_parts(join.id))
  if join.ends > 0 then call('ZREM', key_join_ends(), join.id) end
  call('HDEL', key_ids(), join.message_id)
end

-- Return the join that holds the message of a value of the ids, or nil.
function held_join(value)
  if not value or string.sub(value, 1, 1) ~= 'j' then return nil end
  return read_join(string.sub(value, 2))
end

function close_if_expired(id)
  local join = read_join(id)
  if join and join.ends > 0 and join.ends - 1 <= now then close_join(join) end
end

local function open_join(join)
  if call('HEXISTS', key_joins(), join.id) == 1 then return end
  local value = call('HGET', key_ids(), join.draft.id)
  if value and (string.sub(value, 1, 1) == 'j' or kept(value)) then return end
  call('HSET', key_joins(), join.id, pack(JOIN, join.parts, join.ends, join.draft.id, #join.queue, join.queue))
  save_draft(join, join.draft.head, join.draft.tail)
  if join.ends > 0 then call('ZADD', key_join_ends(), join.ends - 1, join.id) end
  call('HSET', key_ids(), join.draft.id, 'j' .. join.id)
end

local function arrive(arrival)
  local join = read_join(arrival.join)
  if not join then return end
  call('SADD', key_join_parts(join.id), arrival.part)
  if call('SCARD', key_join_parts(join.id)) < join.parts then return end
  local d = {}
  d.head, d.tail = draft_of(join)
  close_join(join)
  local q = find_queue(join.queue)
  if not q then return end
  read_draft(d)
  if not refusal(q, d) then send(q, d) end
end

-- Let effects happen that were not refused. Return outcomes of the sends, and of the records whether they were kept.
function apply_effects(effects)
  local sent, put = {}, {}
  for _, key in ipairs(effects.forgets) do forget_record(key) end
  for index, each in ipairs(effects.sends) do sent[index] = send(find_queue(each.queue), each.draft) end
  for index, record in ipairs(effects.records) do put[index] = put_record(record) end
  for _, join in ipairs(effects.joins) do close_if_expired(join.id) end
  for _, arrival in ipairs(effects.arrivals) do close_if_expired(arrival.join) end
  for _, join in ipairs(effects.joins) do open_join(join) end
  for _, arrival in ipairs(effects.arrivals) do arrive(arrival) end
  return sent, put
end

-- apply: effects. Returns {'applied', outcomes of the sends, whether each record was kept} or why not.
verbs.apply = function()
  local effects = take_effects()
  local reason = effects_refusal(effects)
  if reason then return reason end
  local sent, put = apply_effects(effects)
  return {'applied', sent, put}
end
