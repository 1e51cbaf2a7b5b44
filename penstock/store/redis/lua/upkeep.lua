-- The sweep: forgetting what has expired, a bounded number at a time.

local ORPHANS_AT_ONCE = 10

-- Forget what ends by itself in a queue, and what is past its retention. Returns how many, and whether that was all.
local function sweep_queue(q, limit)
  local forgotten, messages = 0, 0
  local names = call('ZRANGEBYSCORE', key_expiring(q.n), '-inf', now, 'LIMIT', 0, limit)
  for _, name in ipairs(names) do
    local kind, rest = string.sub(name, 1, 1), string.sub(name, 2)
    call('ZREM', key_expiring(q.n), name)
    if kind == 'd' then call('HDEL', key_duplicates(q.n), rest)
    elseif kind == 'a' then call('HDEL', key_attempts(q.n), rest)
    else
      clear(q, get_row(q, seq_of(rest)))
      messages = messages + 1
    end
    forgotten = forgotten + 1
  end
  local first
  for _, seq in ipairs(seqs_after(q, 0, limit)) do
    first = get_row(q, seq)
    if first.sent_at + q.retention_ms > now then break end
    clear(q, first)
    first, messages, forgotten = nil, messages + 1, forgotten + 1
  end
  if messages > 0 then wake(q, now) end
  local ends = call('ZRANGE', key_expiring(q.n), 0, 0, 'WITHSCORES')
  q.sweep_at, q.changed = 0, true
  call('ZREM', key_due(), q.number)
  if ends[2] then expect(q, tonumber(ends[2])) end
  if first then expect(q, first.sent_at + q.retention_ms) elseif q.count > 0 then expect(q, now) end
  return forgotten
end

-- Forget events above the number that is kept, and where they are listed.
local function sweep_events(most, limit)
  local surplus = math.min(limit, call('XLEN', key_events()) - most)
  if surplus <= 0 then return 0 end
  for _, entry in ipairs(call('XRANGE', key_events(), '-', '+', 'COUNT', surplus)) do
    for index = 1, #entry[2], 2 do
      if entry[2][index] == 'id' then
        local id = entry[2][index + 1]
        local known = string.sub(call('HGET', key_events_of(), id) or '', 7)
        if known == '' then call('HDEL', key_events_of(), id) else call('HSET', key_events_of(), id, known) end
      end
    end
    call('XDEL', key_events(), entry[1])
  end
  return surplus
end

-- Forget pages and lists under the number of a purged or deleted queue. Returns how many messages, and one for the rest.
local function sweep_orphan(number, limit)
  local q, forgotten = {number = number, n = digits(number), rows = {}, kept = {}}, 0
  for _, page in ipairs(call('ZRANGE', key_pages(number), 0, math.ceil(limit / PAGE) - 1)) do
    local key = key_page(number, page)
    for _, field in ipairs(call('HKEYS', key)) do
      local place = tonumber(field)
      if place then
        local row = get_row(q, page * PAGE + place)
        local value = call('HGET', key_ids(), row.id)
        if value and value == 'm' .. pack('>I4I6', number, row.seq) then call('HDEL', key_ids(), row.id) end
        set_owner(q, row, '')
        forgotten = forgotten + 1
      end
    end
    call('UNLINK', key)
    call('ZREM', key_pages(number), page)
  end
  local ids = call('ZRANGE', key_group_ids(number), 0, limit - 1)
  for _, id in ipairs(ids) do
    call('UNLINK', key_group_rows(number, id), key_group_leases(number, id))
    call('ZREM', key_group_ids(number), id)
  end
  if #ids < limit and call('EXISTS', key_pages(number)) == 0 then
    for lane = 0, LANES - 1 do call('UNLINK', key_fresh(number, text_of(lane))) end
    call('UNLINK', key_waiting(number), key_leased(number), key_expiring(number), key_duplicates(number),
      key_attempts(number), key_heads(number), key_groups(number), key_group_ids(number), key_parked(number),
      key_grouped_leases(number), key_grouped_delays(number))
    call('ZREM', key_orphans(), number)
    forgotten = forgotten + 1
  end
  return forgotten
end

-- sweep: limit, events kept, names rest ms. Returns how many were forgotten.
verbs.sweep = function()
  local limit, events_kept, names_rest_ms = take_number(), take_number(), take_number()
  local forgotten = 0
  for _, number in ipairs(call('ZRANGEBYSCORE', key_due(), '-inf', now, 'LIMIT', 0, 100)) do
    local q = queue_with(number)
    if q then forgotten = forgotten + sweep_queue(q, limit) else call('ZREM', key_due(), number) end
    if forgotten >= limit then break end
  end
  for _, key in ipairs(call('ZRANGEBYSCORE', key_record_ends(), '-inf', now, 'LIMIT', 0, limit)) do
    forget_record(key)
    forgotten = forgotten + 1
  end
  for _, id in ipairs(call('ZRANGEBYSCORE', key_join_ends(), '-inf', now, 'LIMIT', 0, limit)) do
    close_if_expired(id)
    forgotten = forgotten + 1
  end
  for _, id in ipairs(call('ZRANGEBYSCORE', key_ended(), '-inf', now, 'LIMIT', 0, limit)) do
    call('ZREM', key_moves_of(call('HGET', key_move(id), 'source')), id)
    call('DEL', key_move(id))
    call('ZREM', key_ended(), id)
    forgotten = forgotten + 1
  end
  forgotten = forgotten + sweep_events(events_kept, limit)
  for _, number in ipairs(call('ZRANGE', key_orphans(), 0, ORPHANS_AT_ONCE - 1)) do
    if forgotten < limit then forgotten = forgotten + sweep_orphan(tonumber(number), limit) end
  end
  call('ZREMRANGEBYSCORE', key_resting(), '-inf', now - names_rest_ms)
  return forgotten
end

-- check: prove that the store can be written.
verbs.check = function()
  call('SET', key_check(), now)
  call('DEL', key_check())
  return 'done'
end
