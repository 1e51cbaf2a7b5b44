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

-- let_go: queue, count, ids. Returns 'done'.
verbs.let_go = function()
  local name = take()
  for index = 1, take_number() do
    local q, row = by_id(take(), name)
    if row and not (row.token and row.visible_at > now) then forget(q, row) end
  end
  return 'done'
end
