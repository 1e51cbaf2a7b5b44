-- How messages come from another shard and go there.

-- adopt: queue, marks expire at, count, for each: key of its mark, draft, sent at, visible at, expires at (0), receive
-- count, first received at (0), dead-letter source (''). Returns 'missing' or 'done'.
verbs.adopt = function()
  local q, ends = find_queue(take()), take_number()
  for index = 1, take_number() do
    local mark, d = take(), take_draft()
    local row = {id = d.id, priority = d.priority, group = d.group, sent_at = take_number(), visible_at = take_number(),
      expires_at = take_number(), receives = take_number(), first_at = take_number()}
    local source = take()
    if q and not shown_record(mark) and not kept(call('HGET', key_ids(), d.id)) then
      put_record({key = mark, value = '', ends = ends + 1, tags = {}})
      call('HSET', key_ids(), d.id, 'm' .. pack('>I4I6', q.number, q.seq + 1))
      keep(q, row, d.deduplication_id, source, d.tail)
    end
  end
  return q and 'done' or 'missing'
end

-- read_map: Returns the map the shard knows, or false.
verbs.read_map = function() return call('HGET', key_map(), 'map') end

-- write_map: epoch, map. Keeps a map that is newer. Returns 1 or 0.
verbs.write_map = function()
  local epoch, map = take(), take()
  if tonumber(epoch) <= tonumber(call('HGET', key_map(), 'epoch') or 0) then return 0 end
  call('HSET', key_map(), 'epoch', epoch, 'map', map)
  return 1
end

-- exchange: queue, message id, effects. Returns 'gone', or as apply.
verbs.exchange = function()
  local name = take()
  local q, row = by_id(take(), name)
  if not row or (row.token and row.visible_at > now) then return 'gone' end
  local effects = take_effects()
  local reason = effects_refusal(effects)
  if reason then return reason end
  forget(q, row)
  local sent, put = apply_effects(effects)
  return {'applied', sent, put}
end

-- let_go: queue, count, ids. Returns 'done'.
verbs.let_go = function()
  local name = take()
  for index = 1, take_number() do
    local q, row = by_id(take(), name)
    if row and not (row.token and row.visible_at > now) then forget(q, row) end
  end
  return 'done'
end
