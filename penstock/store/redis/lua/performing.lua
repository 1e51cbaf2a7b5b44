-- One atomic step: the calls that one process asked for together, in their order, each at its own instant.
--
-- Keys: KEYS[1] is what all keys of the shard begin with, its hash tag in braces and a colon.
-- Arguments: client, number of the batch ('' for one that changes nothing), only makes room, epoch of the map it is made by
-- ('' where there is none), count of calls, then for each call: verb, now, arguments of the verb.
-- Returns {outcomes, wake-ups as queue, instant, ...}; no outcomes: the shard knows another map, and nothing was done. What a batch was answered is kept for a while: when it comes again,
-- because its answer was lost or because what was written to a broken connection is read late, it is answered so again and
-- changes nothing.

local JOURNAL_BATCHES, JOURNAL_RENEWED, JOURNAL_SECONDS = 64, 16, 3600

local FEW_ARGUMENTS = 32

-- Verbs before which writes need not be made: they look at keys one at a time, by call.
local LETS_WAIT = {send = true, receive = true, settle = true, settle_alike = true, apply = true}

-- Verbs of many messages.
local ARE_MANY = {receive = true, settle_alike = true}

-- What an answered receive found is looked up again, not kept twice.
local function to_journal(verb, outcome, name)
  if verb ~= 'receive' or type(outcome) == 'string' then return {outcome} end
  local names = {}
  for index, shown in ipairs(outcome[1]) do names[index] = string.sub(shown, 1, 18) end
  return {outcome[2], outcome[3], outcome[4], outcome[5], name, names}
end

local function from_journal(entry)
  if #entry == 1 then return entry[1] end
  local q, rows = find_queue(entry[5]), {}
  for _, name in ipairs(entry[6]) do
    local seq, token = read('>I6c12', name)
    local row = q and get_row(q, seq, true)
    if row and row.token == token then rows[#rows + 1] = row end
  end
  return {show_leased(rows), entry[1], entry[2], entry[3], entry[4]}
end

-- Begin with nothing read.
local function begin(keys, given)
  ask, pack, read, floor = redis.call, struct.pack, struct.unpack, math.floor
  band, bor, lshift = bit.band, bit.bor, bit.lshift
  arguments, at, P, loaded, wakeups = given, 1, keys[1], {}, {}
  waiting_writes, changed_records, writes_wait = {}, {}, false
end

-- Write what the calls changed.
local function finish()
  for _, q in pairs(loaded) do
    if q then
      save_groups(q)
      if q.emptied then unlist_pages(q) end
      if q.changed then save_queue(q) end
    end
  end
  write_all()
end

-- Tell the other processes, and return what is told.
local function tell(client)
  local told = {}
  for name, instant in pairs(wakeups) do
    told[#told + 1] = name
    told[#told + 1] = instant
  end
  if #told > 0 then call('PUBLISH', key_wakeups(), cmsgpack.pack({client, told})) end
  return told
end

-- Return what a batch was answered before, or nil.
local function answer_of(journal, batch)
  local known = call('HGET', journal, batch % JOURNAL_BATCHES)
  local entries = known and cmsgpack.unpack(known)
  if not entries or entries[1] ~= batch then return nil end
  local outcomes = {}
  for index = 2, #entries do outcomes[index - 1] = from_journal(entries[index]) end
  return outcomes
end

local function perform(keys, given)
  begin(keys, given)
  local client, batch, makes_room, epoch, count = take(), take(), take(), take(), take_number()
  local journal, latest = key_journal(client), nil
  if batch ~= '' then
    latest = tonumber(call('HGET', journal, 'latest') or 0)
    -- nobody waits any more for one so far behind the latest: it was answered then, and is read late
    if tonumber(batch) <= latest - JOURNAL_BATCHES then return {{}, {}} end
    local before = tonumber(batch) <= latest and answer_of(journal, batch)
    if before then
      -- a write, so that who waits for replicas waits for what is told here
      call('EXPIRE', journal, JOURNAL_SECONDS)
      return {before, {}}
    end
  end
  -- With its memory full Redis refuses what may grow, unless a script has written before: what makes room must go on.
  if makes_room == '1' then call('DEL', key_check()) end
  noting = 0
  if epoch ~= '' then
    local known = call('HMGET', key_map(), 'epoch', 'noting')
    -- before anything is done, and noted as an answer: what is read late of a refused batch stays refused
    if (known[1] or '0') ~= epoch then count = 0 end
    noting = tonumber(known[2] or 0)
  end
  -- for one message it would be a detour
  writes_wait = count > 1 or #given > FEW_ARGUMENTS or ARE_MANY[arguments[at]] == true
  local outcomes, entries = {}, {batch}
  for index = 1, count do
    local verb = take()
    now = take_number()
    local name = arguments[at]
    if not LETS_WAIT[verb] then write_all() end
    outcomes[index] = verbs[verb]()
    if batch ~= '' then entries[index + 1] = to_journal(verb, outcomes[index], name) end
  end
  finish()
  if batch ~= '' then
    call('HSET', journal, batch % JOURNAL_BATCHES, cmsgpack.pack(entries), 'latest', math.max(latest, batch))
    if batch % JOURNAL_RENEWED == 1 then call('EXPIRE', journal, JOURNAL_SECONDS) end
  end
  return {outcomes, tell(client)}
end
