#!lua
-- Stores one message for everybody it is addressed to, and wakes those who listen: all of it or nothing (G1).
--
-- USES     recipients receipts settings events seals indexes retention doing governor
-- KEYS     P:meta
-- ARGV     instance session type to subject description requires_ack ack_within reply_to idempotency_key direction orchestrator
--          unknown settings governed via
--          ack_within: seconds, "" for no deadline; settings: those of a namespace that has none yet, see parts/settings.lua;
--          governed: "1" where an agent may be the caller: what it sends in its own session is braked;
--          via: where a person writes it, as "ui"; else ""
-- Returns  names and values: message_id, timestamp, to, repeated, acknowledged; presence:{name} of each recipient, its entry, ""
--          when never seen; asleep: those that are idle and that nobody wakes, separated by spaces; known, where the one
--          recipient is unknown: names that it may mean, likewise
-- Refuses  INVALID, IDENTITY, NOT_FOUND, FULL, LOOP, SUPERSEDED, TAKEN, INTERNAL; out of memory before the first write
local me, session, kind, to, subject, description, requires_ack, ack_within, reply_to, idempotency_key, direction, orchestrator,
  unknown, settings, governed, via = unpack(ARGV)

local function receipt(id, timestamp, repeated, acknowledged, names, entries)
  local reply = { 'message_id', id, 'timestamp', timestamp, 'to', to, 'repeated', repeated and '1' or '0', 'acknowledged',
    acknowledged and '1' or '0' }
  local asleep = {}
  for i, name in ipairs(names) do
    reply[9 + 2 * i], reply[10 + 2 * i] = 'presence:' .. name, entries[i]
    if is_asleep(name, entries[i]) then asleep[#asleep + 1] = name end
  end
  if #asleep > 0 then
    reply[#reply + 1] = 'asleep'
    reply[#reply + 1] = table.concat(asleep, ' ')
  end
  if to ~= 'all' and entries[1] == '' then
    reply[#reply + 1] = 'known'
    reply[#reply + 1] = table.concat(call('HRANDFIELD', key('presence'), READ_MAXIMUM), ' ')
  end
  return reply
end

-- Refuse: a key that was used, a reply to nothing, a recipient that may not have it.

local asked = not META.protocol and settings:match(' (%a+)$')
if asked then SEALS = sealing(asked) end -- luacheck: ignore 121
local problem = superseded(me, session) or (SEALS and SEALS.problem(me))
  or (reply_to ~= '' and wrong_type('hash', key('msg', reply_to)))
if problem then return problem end
local replied = reply_to ~= '' and read_for(me, reply_to) -- the message that it replies to
if replied and to == '' then to = replied.from or '' end

-- A repeat returns what the first call returned (G4). The content is compared, not a digest of it: a repeat is rare,
-- and the first call then has nothing to compute.
local once = key('once', me) .. ':' .. idempotency_key
local first = try('GET', once)
if type(first) == 'table' then return wrong_type('string', once) or first end
if first then
  problem = wrong_type('hash', key('msg', first))
  if problem then return problem end
  local values = call('HMGET', key('msg', first), 'to', 'type', 'subject', 'description', 'requires_ack', 'reply_to',
    'ack_within', 'timestamp')
  local meant = { to ~= '' and to or values[1], kind, subject, description, requires_ack, reply_to, ack_within }
  for i = 1, values[1] and #meant or 0 do
    if (values[i] or '') ~= meant[i] then
      return refuse('INVALID', 'The idempotency_key was used for ' .. first .. ' with other content.',
        'Use a new key for a new message; the old one can only repeat the same content.')
    end
  end
  call('SET', once, first, 'KEEPTTL') -- changes nothing, but replicates: WAIT is about the connection's last write
  touch(me, session)
  to = values[1] or to
  local names, entries = values[1] and recipients_of(first, to) or {}, {}
  for i, name in ipairs(names) do entries[i] = call('HGET', key('presence'), name) or '' end
  return receipt(first, values[8] or '', true, replied and select(2, read_receipt(replied.receipt)), names, entries)
end

if replied and not (replied.from and replied.to and replied.type and replied.subject) then
  return refuse('NOT_FOUND', 'reply_to is ' .. quoted(reply_to) .. ': no such message is stored.',
    'List messages with check and copy the id from there.')
end
if to == me then
  return refuse('INVALID', 'to is "' .. me .. '": that is yourself.', replied and replied.from == me
    and 'You wrote the message you reply to: say with to whom this goes.' or 'Give another instance, or "all".')
end
-- Only here, because a reply finds its recipient here; the sender's side of the rule needs no store.
if (direction == 'orchestrator' and to ~= orchestrator) or (direction == 'all' and to ~= 'all')
  or (direction == 'feature' and (to == orchestrator or to == 'all')) then
  return refuse('INVALID', kind .. ' goes to ' .. (direction == 'feature' and 'a feature' or direction) .. ', not to "'
    .. to .. '".', 'Use GENERAL, or unset COORD_DIRECTION=strict.')
end

-- Decide: for whom it is, where it is listed, its place in the order. Recipients are frozen now (G6).

local names, entries = { to }, { call('HGET', key('presence'), to) or '' }
if to == 'all' then
  local days = setting('retention_days', call('HGET', KEYS[1], 'retention_days')) or settings:match('^%d+')
  names, entries = everybody_else(me, iso(NOW - days * 86400000000))
  if not names then
    return refuse('FULL', 'to is "all": that is ' .. entries .. ' instances, and a message may have '
      .. RECIPIENTS_MAXIMUM .. ' recipients.', 'Forget those that are gone: coord forget --unseen 7d.')
  end
elseif entries[1] == '' and unknown == 'reject' then
  return refuse('NOT_FOUND', 'to is "' .. to .. '": no instance of that name has ever been seen.',
    'Look at presence for the names, or unset COORD_UNKNOWN_RECIPIENT=reject.')
elseif entries[1] == '' and type(try('ZSCORE', key('forgotten'), to)) == 'string' then
  return refuse('NOT_FOUND', 'to is "' .. to .. '": that instance was forgotten.',
    'It can be sent to once it has started again; presence lists the names.')
end
local root = replied and (replied.thread or reply_to) -- the first message of the conversation
problem = problem_of(message_keys(me, kind, root, names)) or (replied and problem_of(acknowledge_keys(me, replied)))
if problem then return problem end
if governed == '1' and is_session(ENTRY, session) then
  problem = brake(me, to, kind, description, root)
  if problem then return problem end
end
local answers = replied and is_recipient(me, reply_to, replied.to)
local counter = 'published:' .. kind
local count = call('HGET', KEYS[1], counter) or '0'
if not whole(count) then
  return refuse('INTERNAL', KEYS[1] .. ' has the counter ' .. counter .. ' ' .. quoted(count) .. ', which is no number.',
    'Delete that field: it then counts from 0.')
end
local id, score = next_id()
problem = not id and score or make_room(me, requires_ack == '1', settings)
if problem then return problem end

-- Write.

local fields = { 'id', id, 'type', kind, 'from', me, 'to', to, 'subject', subject, 'description', description, 'timestamp',
  NOW_ISO, 'requires_ack', requires_ack }
local function add(name, value)
  fields[#fields + 1] = name
  fields[#fields + 1] = value
end
if ack_within ~= '' then add('ack_within', ack_within) end
-- A command beside the session that speaks for the sender: the agent knows nothing of it.
local outside = looks('look', session) and not ENTRY:find(LEFT, 1, true)
if outside then add('outside', '1') end
if via ~= '' then add('via', via) end
if root then
  add('reply_to', reply_to)
  add('thread', root)
end
if to == 'all' then
  add('recipients', table.concat(names, ' '))
  add('total', #names)
  if #names > 0 then add('open', #names) end
end
-- The first write is one that the Redis user of another instance may not do.
local kept = try('SET', once, id, 'EX', IDEMPOTENCY_SECONDS)
if kept.err then return (kept.err:find('NOPERM') or kept.err:find("can't")) and sealing().foreign(me) or kept end
-- The second is the one whose key nobody has asked for: it is new, and where it is not, nothing else has been written.
local stored = try('HSET', key('msg', id), unpack(fields))
if type(stored) == 'table' then
  call('DEL', once)
  return wrong_type('hash', key('msg', id)) or stored
end
if not META.protocol then call('HSET', KEYS[1], 'protocol', PROTOCOL_VERSION, unpack(first_settings(settings))) end
if not META.id then call('HSET', KEYS[1], 'id', redis.sha1hex(once .. ' ' .. NOW_TEXT):sub(1, 16)) end
call('HSET', KEYS[1], 'stamp', score, counter, count + 1)
if SEALS then SEALS.seal(me, fields) end
index_message(id, score, me, kind, root)
if #names > 0 and requires_ack == '1' then call('ZADD', key('pending'), score, id) end
if #names > 0 and ack_within ~= '' then call('ZADD', key('deadlines'), deadline_after(ack_within), id) end
local event = published_event(id, kind, me, to, subject, requires_ack, NOW_ISO, root and reply_to, answers)
for _, name in ipairs(names) do
  call('ZADD', key('inbox', name), score, id)
  call('ZADD', key('unread', name), score, id)
  if requires_ack == '1' then call('ZADD', key('pending', name), score, id) end
  queue_event(name, event)
end
-- A reply from one of its recipients answers a message: that acknowledges it.
local time, already
if answers then time, already = acknowledge(me, reply_to, replied, '', outside) end
if time and not already and SEALS then SEALS.seal_receipt(me, reply_to, time, '', outside) end
already = already or not answers
touch(me, session)

-- Tell. The sender of the original learns that it is acknowledged from this message's own event, where it gets one.

for _, name in ipairs(names) do
  call('PUBLISH', key('notify', name), event)
  already = already or name == replied.from
end
call('PUBLISH', key('events'), event)
if not already then tell_sender(replied, acknowledged_event(reply_to, replied, me, '', outside)) end
return receipt(id, NOW_ISO, false, answers, names, entries)
