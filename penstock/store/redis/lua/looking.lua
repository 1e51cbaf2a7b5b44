-- Questions: what changes nothing.

-- A row as rows.py reads it: queue, sequence number, content, state or false.
local function show(q, seq)
  local values = call('HMGET', place_of(q, seq))
  return {q.name, seq, values[1], values[2]}
end

-- describe_queue: queue. Returns 'missing' or a description.
verbs.describe_queue = function()
  local q = find_queue(take())
  return q and describe(q) or 'missing'
end

-- Return names of a list by name, between two bounds as ZRANGEBYLEX has them, at most so many.
local function names_in(key, from, to, limit) return call('ZRANGEBYLEX', key, from, to, 'LIMIT', 0, limit) end

-- list_queues: bounds of the names, limit, dead-letter queue or ''. Returns descriptions.
verbs.list_queues = function()
  local from, to, limit, target = take(), take(), take_number(), take()
  local found = {}
  for index, name in ipairs(names_in(target == '' and key_names() or key_sources(target), from, to, limit)) do
    found[index] = describe(find_queue(name))
  end
  return found
end

-- list_groups: queue, bounds of the ids, limit, only parked. Returns 'missing' or for each group id, waiting, in flight, ready at
-- (-1: parked), is parked, is noisy.
verbs.list_groups = function()
  local q, from, to, limit, only_parked = find_queue(take()), take(), take(), take_number(), take() == '1'
  if not q then return 'missing' end
  local key, found = only_parked and key_parked(q.n) or key_group_ids(q.n), {}
  for index, id in ipairs(names_in(key, from, to, limit)) do
    local g = get_group(q, id)
    local held = group_in_flight(q, g)
    found[index] = {id, g.count - held, held, g.is_seated == 1 and g.ready_at or -1, g.is_parked, g.is_noisy}
  end
  return found
end

-- look: queue, after, limit. Returns 'missing' or rows in order of arrival.
verbs.look = function()
  local q, after, limit = find_queue(take()), take_number(), take_number()
  if not q then return 'missing' end
  local found = {}
  for index, seq in ipairs(seqs_after(q, after, limit)) do found[index] = show(q, seq) end
  return found
end

-- find: count, ids. Returns for each a row, or {queue, head, tail} of a draft that a join holds, or false.
verbs.find = function()
  local found = {}
  for index = 1, take_number() do
    local q, row, join = by_id(take(), '')
    if row then found[index] = show(q, row.seq)
    elseif join then found[index] = {join.queue, draft_of(join)}
    else found[index] = false end
  end
  return found
end

-- get_records: count, keys. Returns for each a record, or false.
verbs.get_records = function()
  local found = {}
  for index = 1, take_number() do found[index] = shown_record(take()) end
  return found
end

-- find_records: bounds of the keys, has a tag, tag, limit, is descending. Returns records.
verbs.find_records = function()
  local from, to, has_tag, tag, limit, is_descending = take(), take(), take(), take(), take_number(), take() == '1'
  local list, found = has_tag == '1' and key_tagged(tag) or key_record_keys(), {}
  while #found < limit do
    local keys
    if is_descending then keys = call('ZREVRANGEBYLEX', list, to, from, 'LIMIT', 0, limit)
    else keys = names_in(list, from, to, limit) end
    for _, key in ipairs(keys) do
      local record = shown_record(key)
      if record and #found < limit then found[#found + 1] = record end
    end
    if #keys < limit then break end
    if is_descending then to = '(' .. keys[#keys] else from = '(' .. keys[#keys] end
  end
  return found
end

-- put_records: count, records. Returns for each whether it was kept.
verbs.put_records = function()
  local were_kept = {}
  for index = 1, take_number() do were_kept[index] = put_record(take_record()) end
  return were_kept
end

-- delete_records: count, keys.
verbs.delete_records = function()
  for _ = 1, take_number() do forget_record(take()) end
  return 'done'
end

local function event_of(entry)
  local event = {}
  for index = 1, #entry[2], 2 do event[entry[2][index]] = entry[2][index + 1] end
  return {tonumber(string.match(entry[1], '^%d+')), tonumber(event.at), event.queue, event.id, event.kind,
    event.detail or false}
end

-- history: message id. Returns events, oldest first.
verbs.history = function()
  local known, found = call('HGET', key_events_of(), take()) or '', {}
  for from = 1, #known, 6 do
    local event = read('>I6', known, from)
    local entry = call('XRANGE', key_events(), event .. '-0', event .. '-0')[1]
    if entry then found[#found + 1] = event_of(entry) end
  end
  return found
end

-- events: after (-1: the latest), limit. Returns events, oldest first.
verbs.events = function()
  local after, limit = take_number(), take_number()
  local found = {}
  if after < 0 then
    local entries = call('XREVRANGE', key_events(), '+', '-', 'COUNT', limit)
    for index, entry in ipairs(entries) do found[#entries + 1 - index] = event_of(entry) end
  else
    for index, entry in ipairs(call('XRANGE', key_events(), digits(after + 1) .. '-0', '+', 'COUNT', limit)) do
      found[index] = event_of(entry)
    end
  end
  return found
end
