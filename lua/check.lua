#!lua flags=allow-oom
-- Reads messages, and marks as presented those that are addressed to the reader.
--
-- USES     receipts messages blocks
-- KEYS     P:meta
-- ARGV     instance session inbox from type thread since before pending unread limit budget cut mark
--          inbox: whose, "" for the whole namespace; unread: only what was not presented yet; budget: how many bytes the
--          result may have, a description counted up to cut ("0": no bound); mark: "0" leaves the marking to confirm
-- Returns  JSON text of strings and false: [[more, stopped early, next_since, next_before], messages, unreadable]
-- Refuses  NOT_FOUND (a cursor), SUPERSEDED, INTERNAL
local me, session, inbox, from, kind, thread, since, before, pending, unread, limit, budget, cut, mark = unpack(ARGV)
limit, budget, cut = tonumber(limit), tonumber(budget), tonumber(cut)
local BATCH = 500
local problem = superseded(me, session) or wrong_type('zset', key('timeline')) or wrong_type('zset', key('inbox', me))
  or wrong_type('zset', key('unread', me)) or wrong_type('set', key('pending'))
if problem then return problem end

-- What a filter names is a sorted set; the smallest is walked and the others are asked for each id, so that a filter
-- finds its messages without passing all that lie between.
local sources = {}
if inbox ~= '' then
  sources[1] = key(pending == '1' and 'pending' or unread == '1' and 'unread' or 'inbox', inbox)
end
if from ~= '' then sources[#sources + 1] = key('outbox', from) end
local listed -- ids known one by one instead of a set to walk
if thread ~= '' then
  problem = wrong_type('hash', key('msg', thread))
  if problem then return problem end
  local root = redis.call('HGET', key('msg', thread), 'thread') or thread
  if redis.call('EXISTS', key('thread', root)) == 1 then
    sources[#sources + 1] = key('thread', root)
  elseif redis.call('EXISTS', key('msg', root)) == 1 then
    listed = { root }
  else
    return refuse('NOT_FOUND', 'thread is ' .. quoted(thread) .. ': no such message is stored.', 'Copy a message id from check.')
  end
end
local open = inbox == '' and pending == '1' and key('pending')
if open and #sources == 0 and not listed and redis.call('SCARD', open) <= EXAMINED_MAXIMUM then
  listed = redis.call('SMEMBERS', open)
end
if #sources == 0 and not listed then sources[1] = key('timeline') end

local smallest, size
for i, source in ipairs(sources) do
  problem = wrong_type('zset', source)
  if problem then return problem end
  local count = redis.call('ZCARD', source)
  if not size or count < size then smallest, size = i, count end
end
local walked = not listed and table.remove(sources, smallest)

local low, high = -1, math.huge
if since ~= '' then low = stamp_of(since) end
if before ~= '' then high = stamp_of(before) end
if not low or not high then
  return refuse('NOT_FOUND', (low and 'before' or 'since') .. ' is ' .. quoted(low and before or since)
    .. ': no such message was ever stored.', 'Copy next_since or next_before from an earlier check.')
end
local ascending = pending == '1' or unread == '1' or since ~= ''

if listed then
  local stamps = {}
  for _, id in ipairs(listed) do stamps[id] = stamp_of(id) or 0 end
  table.sort(listed, function(a, b)
    if stamps[a] ~= stamps[b] then return (stamps[a] < stamps[b]) == ascending end
    return a < b
  end)
  local within = {}
  for _, id in ipairs(listed) do
    if stamps[id] > low and stamps[id] < high then within[#within + 1] = id end
  end
  listed = within
end
-- Where the index of the type says that none of its messages comes for a while, that while is passed over: else a filter by a
-- rare type would ask each of the others for its type.
local index = kind ~= '' and not listed and key('type', kind)
problem = index and wrong_type('zset', index)
if problem then return problem end
-- Moves the bound from which the walk goes on to the next block of the type; returns its first and its last stamp, nil behind
-- all of them.
local function leap()
  local first, last = block_from(kind, ascending and low + 1 or high)
  if ascending then
    low = math.max(low, (first or 0) - 1)
  elseif not (first and first < high) then
    local earlier = redis.call('ZRANGE', index, '(' .. exact(high), '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, 1, 'WITHSCORES')
    last = tonumber(earlier[2])
    first = last and math.min(whole(earlier[1]) or last, last)
    high = math.min(high, (last or 0) + 1)
  end
  return first, last
end

-- Without another filter every entry matches, and one more than asked for tells whether there are more. With one it begins
-- with twice as many, since mostly those are enough, and doubles.
local filtered = kind ~= '' or open or #sources > 0
local batch_size = math.min(filtered and 2 * limit + 1 or limit + 1, BATCH)
local listed_before = 0
-- The next ids, and whether there may be more.
local function batch_after(id)
  if listed then
    local ids = { unpack(listed, listed_before + 1, math.min(listed_before + batch_size, #listed)) }
    listed_before = listed_before + #ids
    return ids, listed_before < #listed
  end
  local position = id and tonumber(redis.call('ZSCORE', walked, id))
  if ascending then low = position or low else high = position or high end
  local first, last
  if index then
    first, last = leap()
    if not first then return {}, false end
    batch_size = math.min(batch_size, 2 * BLOCK_MESSAGES)
  end
  local minimum, maximum = '(' .. exact(low), '(' .. exact(high)
  local ids = ascending and redis.call('ZRANGE', walked, minimum, maximum, 'BYSCORE', 'LIMIT', 0, batch_size)
    or redis.call('ZRANGE', walked, maximum, minimum, 'BYSCORE', 'REV', 'LIMIT', 0, batch_size)
  local more = #ids == batch_size
  if index and #ids > 0 then
    -- Only those in the block; but one at least, so that the walk goes on where the next one is.
    local within = redis.call('ZCOUNT', walked, ascending and minimum or exact(first), ascending and exact(last) or maximum)
    more = more or within < #ids
    ids = { unpack(ids, 1, math.max(1, math.min(within, #ids))) }
  end
  return ids, more
end

-- Those of the ids that every other source holds too, and that are open where that is asked for, by id.
local function held_by_all(ids)
  local held = {}
  for i, is_open in ipairs(open and redis.call('SMISMEMBER', open, unpack(ids)) or {}) do held[ids[i]] = is_open == 1 end
  for _, source in ipairs(sources) do
    for i, score in ipairs(redis.call('ZMSCORE', source, unpack(ids))) do held[ids[i]] = held[ids[i]] ~= false and score end
  end
  return held
end

local function is_of_type(id)
  -- What cannot be read may be of the type, and is listed rather than passed over in silence.
  local held = kind ~= '' and redis.pcall('HGET', key('msg', id), 'type')
  return not held or type(held) == 'table' or held == kind
end

local messages, presented, unreadable = {}, {}, {}
local first, last, more, stopped, examined, spent = nil, nil, false, false, 0, 0
local ids, may_be_more = batch_after(nil)
while #ids > 0 do
  local held = (open or #sources > 0) and held_by_all(ids)
  for _, id in ipairs(ids) do
    stopped = examined == EXAMINED_MAXIMUM
    more = stopped or #messages + #unreadable >= limit
    if more then break end
    if (not held or held[id]) and is_of_type(id) then
      local message, new = load_message(id, me, false)
      if budget > 0 then spent = spent + (message and size_of(message, cut) or 100 + #id + #new) end
      more = spent > budget and #messages + #unreadable > 0
      if more then break end
      if message then
        messages[#messages + 1] = message
        if new then presented[#presented + 1] = id end
      else
        unreadable[#unreadable + 1] = { id, new }
      end
    end
    examined, first, last = examined + 1, first or id, id
  end
  batch_size = math.min(2 * batch_size, BATCH)
  if more or not may_be_more then break end
  ids, may_be_more = batch_after(last)
end

if mark == '1' then
  mark_presented(me, presented)
  -- Reported once: they will not become readable, and would stand before all that is new for whoever waits.
  for _, reported in ipairs(unreadable) do redis.call('ZREM', key('unread', me), reported[1]) end
end
touch(me, session)
local newest, oldest = ascending and last or first, ascending and first or last
return '[' .. cjson.encode({ more and '1' or '0', stopped and '1' or '0', newest or since, oldest or before })
  .. ',' .. json_list(messages) .. ',' .. json_list(unreadable) .. ']'
