#!lua flags=allow-oom
-- Reads messages, and marks as presented those that are addressed to the reader.
--
-- USES     recipients receipts seals messages walking
-- KEYS     P:meta
-- ARGV     instance session inbox from type thread since before pending unread limit bytes description_bytes mark
--          inbox: whose, "" for the whole namespace; unread: only what was not presented yet; bytes: how many the result may
--          have ("0": no bound), a description counted up to description_bytes; mark: "0" leaves the marking to confirm, "look"
--          and "peek" as in looks()
-- Returns  JSON object: looking (only where the caller looks), more (there may be more), step (only because one call may
--          read no more: go on from the cursor), examined (how many entries), bytes, next_since, next_before ("" for
--          none), messages (see parts/messages.lua), unreadable
-- Refuses  NOT_FOUND (a cursor), SUPERSEDED, TAKEN, INTERNAL
local me, session, inbox, from, kind, thread, since, before, pending, unread, limit, bytes, description_bytes,
  mark = unpack(ARGV)
local about = { me = me, limit = tonumber(limit), bytes = tonumber(bytes), description_bytes = tonumber(description_bytes) }
local problem = superseded(me, session)
if problem then return problem end

-- The stamps between which it reads.
local low, high = since == '' and -1 or stamp_of(since), before == '' and math.huge or stamp_of(before)
-- Of a namespace that was lost, or of another one; one that is empty has no stamp.
local newest = whole(META.stamp or '0')
if low and newest and low > newest and not call('ZSCORE', key('timeline'), since) then low = nil end
if not low or not high then
  return refuse('NOT_FOUND', (low and 'before' or 'since') .. ' is ' .. quoted(low and before or since)
    .. ': no such message was ever stored.', 'Copy next_since or next_before from an earlier check.')
end
local ascending = pending == '1' or unread == '1' or since ~= ''

local sources = {}
if inbox ~= '' then
  sources[1] = key(pending == '1' and 'pending' or unread == '1' and 'unread' or 'inbox', inbox)
elseif pending == '1' then
  sources[1] = key('pending')
end
if from ~= '' then sources[#sources + 1] = key('outbox', from) end
if kind ~= '' then sources[#sources + 1] = key('type', kind) end
if thread ~= '' then
  local root = try('HGET', key('msg', thread), 'thread')
  if type(root) == 'table' then return wrong_type('hash', key('msg', thread)) or root end
  root = root or thread
  if call('EXISTS', key('thread', root)) == 1 then
    sources[#sources + 1] = key('thread', root)
  elseif call('EXISTS', key('msg', root)) == 1 then
    -- Nobody has replied: the conversation is this message, and nothing else lies between the bounds.
    local stamp = stamp_of(root) or 0
    low, high = math.max(low, stamp - 1), math.min(high, stamp + 1)
  else
    return refuse('NOT_FOUND', 'thread is ' .. quoted(thread) .. ': no such message is stored.', 'Copy a message id from check.')
  end
end
if #sources == 0 then sources[1] = key('timeline') end

problem = problem_of({ zset = { key('inbox', me), key('unread', me), unpack(sources) } })
if problem then return problem end
local walked = take_smallest(sources)

-- Without another filter every entry matches, and one more than asked for tells whether there are more. With one it begins
-- with twice as many, since mostly those are enough, and doubles.
local count = math.min(#sources > 0 and 2 * about.limit + 1 or about.limit + 1, WALK_BATCH)
local page = new_page()
local first, last, ended, examined = nil, nil, nil, 0
repeat
  local ids = read_on(walked, low, high, ascending, count)
  local held = #sources > 0 and #ids > 0 and held_by_all(ids, sources)
  for _, id in ipairs(ids) do
    if examined >= READ_MAXIMUM then ended = 'step'
    elseif not held or held[id] then ended = add_to_page(page, id, about) end
    if ended then break end
    examined, first, last = examined + 1, first or id, id
  end
  if ended or #ids < count then break end
  -- Asked for here only: the scores of all would cost a check of 20 a twentieth.
  local reached = tonumber(call('ZSCORE', walked, last))
  if ascending then low = reached else high = reached end
  count = math.min(2 * count, WALK_BATCH)
until false

if mark == '1' then
  mark_presented(me, page.presented)
  -- Reported once: they will not become readable, and would stand before all that is new for whoever waits.
  for _, reported in ipairs(page.unreadable) do call('ZREM', key('unread', me), reported.id) end
end
local looking = looks(mark, session)
if not looking then touch(me, session) end
return json_page({ looking = looking or nil, more = ended ~= nil, step = ended == 'step', examined = examined,
  next_since = (ascending and last or first) or since, next_before = (ascending and first or last) or before }, page)
