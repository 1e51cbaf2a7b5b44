-- Messages put in other words: their tails, which only Python reads, are replaced.

-- rewrite: count, then id and tail of each; those that are gone are passed over.
verbs.rewrite = function()
  for _ = 1, take_number() do
    local id, tail = take(), take()
    local q, row, join = by_id(id, '')
    if row then
      local key, field = place_of(q, row.seq)
      local content = ask('HGET', key, field)
      local fields = {read(CONTENT, content)}
      row.content = string.sub(content, 1, fields[#fields] - 1) .. tail
      later('HSET', key, field, row.content)
    elseif join then
      save_draft(join, (draft_of(join)), tail)
    end
  end
  return 'done'
end

-- list_blocked: cursor, how many at once. Returns {next cursor, drafts that joins hold as find shows them}.
verbs.list_blocked = function()
  local cursor, limit = take(), take_number()
  local found, shown = call('HSCAN', key_joins(), cursor, 'COUNT', limit), {}
  for index = 1, #found[2], 2 do
    local join = held_join('j' .. found[2][index])
    if join then shown[#shown + 1] = {join.queue, draft_of(join)} end
  end
  return {found[1], shown}
end
