-- Move tasks. Filters are matched by Python on what it looked at; the step itself is atomic and looks again.

local function show_move(id)
  local row = call('HMGET', key_move(id), 'move', 'status', 'to_move', 'until', 'moved', 'cursor', 'failure')
  return row[1] and {row[1], row[2], tonumber(row[3]), tonumber(row[4]), tonumber(row[5]), tonumber(row[6]),
    row[7] or false} or false
end

local function end_move(id, status, failure)
  local row = call('HMGET', key_move(id), 'source', 'ends')
  call('HSET', key_move(id), 'status', status)
  if failure then call('HSET', key_move(id), 'failure', failure) end
  call('ZREM', key_running(), id)
  if call('HGET', key_running_of(), row[1]) == id then call('HDEL', key_running_of(), row[1]) end
  call('ZADD', key_ended(), row[2], id)
end

-- start_move: move id, source, target or '', started at, forgotten at, move.
-- Returns 'conflict', {'missing', name} or the move shown.
verbs.start_move = function()
  local id, source, target, started_at, ends, move = take(), take(), take(), take_number(), take_number(), take()
  local q = find_queue(source)
  if not q then return {'missing', source} end
  if target ~= '' and not find_queue(target) then return {'missing', target} end
  if call('HEXISTS', key_running_of(), source) == 1 then return 'conflict' end
  call('HSET', key_move(id), 'move', move, 'source', source, 'ends', ends, 'status', 'running', 'to_move', q.count,
    'until', digits(q.seq), 'moved', 0, 'cursor', 0)
  call('HSET', key_running_of(), source, id)
  call('ZADD', key_running(), started_at, id)
  call('ZADD', key_moves_of(source), started_at, id)
  return show_move(id)
end

-- cancel_move: move id. Returns false if it does not run, else the move shown.
verbs.cancel_move = function()
  local id = take()
  if call('HGET', key_move(id), 'status') ~= 'running' then return false end
  end_move(id, 'cancelled')
  return show_move(id)
end

-- list_moves: source, limit. Returns 'missing' or moves, latest first.
verbs.list_moves = function()
  local source, limit = take(), take_number()
  if not find_queue(source) then return 'missing' end
  local found = {}
  for index, id in ipairs(call('ZREVRANGE', key_moves_of(source), 0, limit - 1)) do found[index] = show_move(id) end
  return found
end

-- running_moves: Returns the moves that run, oldest first.
verbs.running_moves = function()
  local found = {}
  for index, id in ipairs(call('ZRANGE', key_running(), 0, -1)) do found[index] = show_move(id) end
  return found
end

-- all_moves: Returns every move that is known, also those of queues that are gone.
verbs.all_moves = function()
  local found = {}
  for _, key in ipairs({key_running(), key_ended()}) do
    for _, id in ipairs(call('ZRANGE', key, 0, -1)) do found[#found + 1] = show_move(id) end
  end
  return found
end

-- Return whether a move can go on; without source or target it has failed.
local function can_go_on(id, source, target)
  if find_queue(source) and (target == '' or find_queue(target)) then return true end
  end_move(id, 'failed', 'The source or the target was deleted.')
  return false
end

local function uuid(id)
  local hex = string.gsub(id, '.', function(c) return string.format('%02x', string.byte(c)) end)
  return table.concat({string.sub(hex, 1, 8), string.sub(hex, 9, 12), string.sub(hex, 13, 16), string.sub(hex, 17, 20),
    string.sub(hex, 21)}, '-')
end

-- Forget a row of a queue and keep it as another message of a target.
local function move_row(q, row, target, new_id)
  local parts = {read(CONTENT, row.content)}
  local id = new_id or row.id
  forget(q, row)
  note(q, 'moved', row.id, 'to ' .. target.name .. (new_id and ' as ' .. uuid(new_id) or ''))
  call('HSET', key_ids(), id, 'm' .. pack('>I4I6', target.number, target.seq + 1))
  keep(target, {id = id, sent_at = now, visible_at = now, expires_at = row.expires_at, priority = row.priority,
    receives = 0, first_at = 0, group = row.group}, parts[10], '', string.sub(row.content, parts[12]))
  note(target, 'sent', id, 'moved from ' .. q.name .. (new_id and ', was ' .. uuid(row.id) or ''))
end

-- step_move: move id, cursor it must still have, source, target or '', most to move, is the last step if all was seen,
-- keeps ids, count of rows, for each its sequence number, whether it is wanted and its own target or '', count of new
-- ids, new ids.
-- Returns {used ids, move shown}, or 'changed': another process took that step.
verbs.step_move = function()
  local id, expected, source, target, most, is_last = take(), take_number(), take(), take(), take_number(), take() == '1'
  local keeps_ids, seqs, wanted, own, ids = take() == '1', {}, {}, {}, {}
  for index = 1, take_number() do seqs[index], wanted[index], own[index] = take_number(), take() == '1', take() end
  for index = 1, take_number() do ids[index] = take() end
  local row = call('HMGET', key_move(id), 'status', 'cursor')
  if row[1] ~= 'running' or tonumber(row[2]) ~= expected then return 'changed' end
  if not can_go_on(id, source, target) then return {0, show_move(id)} end
  local q, moved, cursor = find_queue(source), 0, expected
  for index, seq in ipairs(seqs) do
    local each = get_row(q, seq, true)
    if each then
      if moved == most then
        is_last = false
        break
      end
      local parts = {read(CONTENT, each.content)}
      local to = own[index] ~= '' and own[index] or target ~= '' and target or parts[11]
      local into = to ~= '' and find_queue(to)
      if into and wanted[index] and each.visible_at <= now then
        moved = moved + 1
        move_row(q, each, into, not keeps_ids and ids[moved])
      end
    end
    cursor = seq
  end
  call('HINCRBY', key_move(id), 'moved', moved)
  call('HSET', key_move(id), 'cursor', digits(cursor))
  if is_last then end_move(id, 'completed') end
  return {moved, show_move(id)}
end
