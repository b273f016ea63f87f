#!lua flags=allow-oom
-- Finds messages of the whole namespace by words and filters, newest first, a step of it. It marks nothing as presented.
--
-- USES     recipients receipts seals messages walking words
-- KEYS     P:meta
-- ARGV     instance session before limit bytes description_bytes continued look cursor condition…
--          before, cursor: as the step before returned them, at first the caller's and ""; continued: "1" where the steps
--          before have found something; bytes, description_bytes: as check takes them; look: "look" as in looks();
--          condition…: names and values in turn, "-" before a name excludes what it is true of:
--          text, from, to, type, thread, id; before, after: an id; before_time: a stamp; broadcast, pending, dead and
--          unread (of the reader) have the value ""
-- Returns  JSON object: more (there may be more), step (only because one call may read no more: go on from before and
--          cursor), examined (how many entries), bytes, next_before ("" for none), cursor ("" but for a message that was
--          looked at half-way), messages (see parts/messages.lua), unreadable
-- Refuses  NOT_FOUND (before and after, a condition or the cursor), SUPERSEDED, TAKEN, INTERNAL
local me, session, before, limit, bytes, description_bytes, continued, look, cursor = unpack(ARGV)
local CONDITIONS = 10 -- where they begin in ARGV
local about = { me = me, limit = tonumber(limit), bytes = tonumber(bytes), description_bytes = tonumber(description_bytes),
  continued = continued == '1' }
local problem = superseded(me, session)
if problem then return problem end

local function no_such_message(name, id)
  return refuse('NOT_FOUND', name .. ' is ' .. quoted(id) .. ': no such message was ever stored.',
    'Copy the id of a message, or next_before from an earlier search.')
end

-- The stamps between which it reads, and what of the rest the conditions ask for. Scores of `dead` are no stamps, so that set
-- is asked and never walked.
local low, high = -1, before == '' and math.huge or stamp_of(before)
if not high then return no_such_message('before', before) end
local sources, asked, without = {}, {}, {}
local ids_wanted, ids_unwanted, words = {}, {}, new_words(cursor)

local SETS = { from = 'outbox', to = 'inbox', type = 'type', pending = 'pending', dead = 'dead', unread = 'unread' }
for i = CONDITIONS, #ARGV, 2 do
  local excludes, name = ARGV[i]:match('^(%-?)(.*)$')
  local value, wanted, set = ARGV[i + 1], excludes == '', nil
  if name == 'thread' then
    local root = try('HGET', key('msg', value), 'thread')
    if type(root) == 'table' then return wrong_type('hash', key('msg', value)) or root end
    value = root or value
    if call('EXISTS', key('thread', value)) == 1 then set = key('thread', value)
    else name = 'id' end -- nobody has replied: the conversation is this message
  elseif SETS[name] then
    set = key(SETS[name], name == 'unread' and me or value ~= '' and value or nil)
  end
  if set then
    table.insert(not wanted and without or name == 'dead' and asked or sources, set)
  elseif name == 'id' then
    table.insert(wanted and ids_wanted or ids_unwanted, value)
    local stamp = stamp_of(value)
    if wanted then low, high = math.max(low, stamp and stamp - 1 or high), math.min(high, stamp and stamp + 1 or low) end
  elseif name == 'before' or name == 'after' or name == 'before_time' then
    local stamp = name == 'before_time' and tonumber(value) or stamp_of(value)
    -- Of a namespace that was lost, or of another one.
    if name == 'after' and whole(META.stamp) and (stamp or 0) > tonumber(META.stamp)
      and not call('ZSCORE', key('timeline'), value) then
      stamp = nil
    end
    if not stamp then return no_such_message(name, value) end
    if name ~= 'after' then
      if wanted then high = math.min(high, stamp) else low = math.max(low, stamp - 1) end
    elseif wanted then low = math.max(low, stamp) else high = math.min(high, stamp + 1) end
  elseif name == 'broadcast' then table.insert(words.broadcasts, wanted)
  else
    table.insert(words.needles, value:lower())
    table.insert(words.needed, wanted)
  end
end
if #sources == 0 then sources[1] = key('timeline') end
problem = problem_of({ zset = sources }) or problem_of({ zset = asked }) or problem_of({ zset = without })
if problem then return problem end
local walked = take_smallest(sources)
for _, set in ipairs(asked) do sources[#sources + 1] = set end

-- Adds the message to the page where it is what is looked for. Returns as add_to_page.
local page = new_page()
local next_cursor = ''
local function examine(id)
  if #page.messages + #page.unreadable >= about.limit then return 'full' end
  if texts_read >= TEXTS_MAXIMUM or has_searched_enough() then return 'step' end
  for _, one in ipairs(ids_wanted) do
    if id ~= one then return nil end
  end
  for _, one in ipairs(ids_unwanted) do
    if id == one then return nil end
  end
  local verdict, half_way = has_words(id, words)
  if half_way then
    next_cursor = half_way
    return 'step'
  elseif not verdict then
    return nil
  end
  local ended = add_to_page(page, id, about)
  if ended == 'step' then next_cursor = 'matched ' .. id end
  return ended
end

local count = math.min(2 * about.limit + 1, TEXTS_MAXIMUM)
local last, ended, examined = nil, nil, 0
repeat
  local ids = read_on(walked, low, high, false, count)
  local held = #ids > 0 and #sources + #without > 0 and held_by_all(ids, sources, without)
  for _, id in ipairs(ids) do
    if examined >= READ_MAXIMUM then ended = 'step'
    elseif not held or held[id] then ended = examine(id) end
    if ended then break end
    examined, last = examined + 1, id
  end
  if ended or #ids < count then break end
  high = tonumber(call('ZSCORE', walked, last))
  count = math.min(2 * count, WALK_BATCH)
until false

if not looks(look, session) then touch(me, session) end
return json_page({ more = ended ~= nil, step = ended == 'step', examined = examined, next_before = last or before,
  cursor = next_cursor }, page)
