-- Queues and groups: made, described, changed, purged, deleted. A purge or a delete takes the queue's number away and
-- costs the same however many messages lie under it.
--
-- Gives: empty, take_number_away, save_settings

local function new_number(name)
  local number = call('HINCRBY', key_counters(), 'queue', 1)
  call('HSET', key_numbers(), number, name)
  return number
end

-- Begin to count anew; totals and sequence numbers go on.
function empty(q)
  q.number, q.fresh_lanes, q.waiting_lanes, q.leased_lanes, q.group_lanes = new_number(q.name), 0, 0, 0, 0
  q.n, q.page_read = digits(q.number), nil
  q.group_count, q.count, q.fresh_at, q.ghosts, q.sweep_at = 0, 0, 0, 0, 0
  q.busy_period, q.busy_now, q.busy_before = 0, 0, 0
  q.rows, q.kept, q.read_groups, q.emptied, q.changed = {}, {}, {}, nil, true
end

function take_number_away(q)
  call('HDEL', key_numbers(), q.number)
  call('ZREM', key_due(), q.number)
  call('ZADD', key_orphans(), q.number, q.number)
end

function save_settings(q, settings, facts, target)
  if q.dead_letter_queue ~= '' then call('ZREM', key_sources(q.dead_letter_queue), q.name) end
  if target ~= '' then call('ZADD', key_sources(target), 0, q.name) end
  call('HSET', key_queue(q.name), 'settings', settings, 'facts', facts)
end

-- create_queue: queue, rest ms, settings, facts, dead-letter queue or ''.
-- Returns {'created' or 'exists', description}, or 'resting'.
verbs.create_queue = function()
  local name, rest_ms, settings, facts, target = take(), take_number(), take(), take(), take()
  local q = find_queue(name)
  if q then return {'exists', describe(q)} end
  local deleted_at = call('ZSCORE', key_resting(), name)
  if deleted_at and deleted_at + rest_ms > now then return 'resting' end
  call('ZREM', key_resting(), name)
  call('ZADD', key_names(), 0, name)
  call('HSET', key_queue(name), 'created_at', now, 'modified_at', now)
  q = {name = name, seq = 0, turn = 0, sent = 0, received = 0, deleted = 0, page = 0, is_awaited = 1, is_followed = 1,
    dead_letter_queue = ''}
  save_settings(q, settings, facts, target)
  empty(q)
  save_queue(q)
  loaded[name] = nil
  return {'created', describe(find_queue(name))}
end

-- update_queue: queue, settings it must still have, settings, facts, dead-letter queue or '', limits groups anew.
-- Returns 'missing', 'changed' (nothing was done), or a description.
verbs.update_queue = function()
  local name, expected, settings, facts, target, limits_anew = take(), take(), take(), take(), take(), take()
  local q = find_queue(name)
  if not q then return 'missing' end
  if settings_of(q) ~= expected then return 'changed' end
  save_settings(q, settings, facts, target)
  call('HSET', key_queue(name), 'modified_at', now)
  -- the retention may be shorter
  q.sweep_at = now
  call('ZADD', key_due(), now, q.number)
  q.is_awaited, q.is_followed = 1, 1
  save_queue(q)
  save_groups(q)
  if q.emptied then unlist_pages(q) end
  loaded[name] = nil
  q = find_queue(name)
  if limits_anew == '1' then
    for _, id in ipairs(call('ZRANGE', key_group_ids(q.n), 0, -1)) do reseat(q, get_group(q, id)) end
  end
  wake(q, now)
  wake_all_followers(q, now)
  return describe(q)
end

-- delete_queue: queue. Returns 'missing' or 'done'.
verbs.delete_queue = function()
  local q = find_queue(take())
  if not q then return 'missing' end
  take_number_away(q)
  save_settings(q, '', '', '')
  call('DEL', key_queue(q.name))
  call('ZREM', key_names(), q.name)
  call('ZADD', key_resting(), now, q.name)
  q.is_awaited, q.is_followed = 1, 1
  wake(q, now)
  wake_all_followers(q, now)
  loaded[q.name] = nil
  return 'done'
end

-- purge_queue: queue, rest ms. Returns 'missing', 'resting' or how many messages were forgotten.
verbs.purge_queue = function()
  local q, rest_ms = find_queue(take()), take_number()
  if not q then return 'missing' end
  local purged_at = call('HGET', key_queue(q.name), 'purged_at')
  if purged_at and purged_at + rest_ms > now then return 'resting' end
  call('HSET', key_queue(q.name), 'purged_at', now)
  local count = q.count
  take_number_away(q)
  q.is_awaited, q.is_followed = 1, 1
  wake(q, now)
  wake_all_followers(q, now)
  empty(q)
  return count
end

-- update_group: queue, group id, is parked. Returns 'missing' or 'done'.
verbs.update_group = function()
  local q, id, parks = find_queue(take()), take(), take_number()
  if not q then return 'missing' end
  local g = get_group(q, id)
  g.is_parked = parks
  if parks == 1 then call('ZADD', key_parked(q.n), 0, id) else call('ZREM', key_parked(q.n), id) end
  reseat(q, g)
  wake(q, now)
  wake_group(q, g, now)
  return 'done'
end
