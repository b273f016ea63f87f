#!lua
-- Stores one message for everybody it is addressed to, and wakes those who listen: all of it or nothing (G1).
--
-- USES     receipts settings events retention
-- KEYS     P:meta
-- ARGV     instance session type to subject description requires_ack ack_within reply_to idempotency_key direction orchestrator
--          unknown settings
--          ack_within: seconds, "" for no deadline; settings: those of a namespace that has none yet, see parts/settings.lua
-- Returns  id, timestamp, to, requires_ack, repeated, acknowledged, number of recipients, then for each its name and
--          presence entry ("" when never seen); behind them all known names, where the one recipient is unknown
-- Refuses  INVALID, NOT_FOUND, FULL, SUPERSEDED, INTERNAL; out of memory before the first write
local me, session, kind, to, subject, description, requires_ack, ack_within, reply_to, idempotency_key, direction, orchestrator,
  unknown, settings = unpack(ARGV)

local function receipt(id, timestamp, repeated, acknowledged, names, entries)
  local reply = { id, timestamp, to, requires_ack, repeated, acknowledged and '1' or '0', tostring(#names) }
  for i, name in ipairs(names) do
    reply[6 + 2 * i] = name
    reply[7 + 2 * i] = entries[i] or redis.call('HGET', key('presence'), name) or ''
  end
  -- For a name that may be mistyped: those that it may have been meant to be.
  if to ~= 'all' and reply[9] == '' then
    for i, name in ipairs(redis.call('HKEYS', key('presence'))) do
      if i > READ_MAXIMUM then break end
      reply[#reply + 1] = name
    end
  end
  return reply
end

-- For a broadcast: everybody seen since then but oneself, with the presence entry of each.
local function everybody_else(since)
  local names, entries = {}, {}
  local seen = redis.call('HGETALL', key('presence'))
  for i = 1, #seen, 2 do
    local heartbeat = seen[i + 1]:match(HEARTBEAT)
    -- What is no name nobody can have; with a space in it, the list of recipients could not be read again.
    local named = seen[i]:find('^%w[%w._-]*$') and #seen[i] <= 64
    if named and seen[i] ~= me and (not heartbeat or heartbeat >= since) then
      names[#names + 1], entries[#entries + 1] = seen[i], seen[i + 1]
    end
  end
  return names, entries
end

-- Refuse: what this message replies to, whether it is a repeat, whether it may go there.

local problem = superseded(me, session)
if problem then return problem end
local replied -- the message that it replies to
if reply_to ~= '' then
  replied, problem = read_for(me, reply_to)
  if problem then return wrong_type('hash', key('msg', reply_to)) or problem end
  if to == '' then to = replied.from or '' end
end

-- A repeat returns what the first call returned (G4). The content is compared, not a digest of it: a repeat is rare,
-- and the first call then has nothing to compute.
local once = key('once', me) .. ':' .. idempotency_key
local first = redis.pcall('GET', once)
if type(first) == 'table' then return wrong_type('string', once) or first end
if first then
  problem = wrong_type('hash', key('msg', first))
  if problem then return problem end
  local values = redis.call('HMGET', key('msg', first), 'to', 'type', 'subject', 'description', 'requires_ack', 'reply_to',
    'ack_within', 'timestamp')
  local meant = { to ~= '' and to or values[1], kind, subject, description, requires_ack, reply_to, ack_within }
  for i = 1, values[1] and #meant or 0 do
    if (values[i] or '') ~= meant[i] then
      return refuse('INVALID', 'The idempotency_key was used for ' .. first .. ' with other content.',
        'Use a new key for a new message; the old one can only repeat the same content.')
    end
  end
  local _, acknowledged = read_receipt(replied and replied.receipt)
  redis.call('SET', once, first, 'KEEPTTL') -- changes nothing, but replicates: WAIT is about the connection's last write
  touch(me, session)
  to = values[1] or to
  return receipt(first, values[8] or '', '1', acknowledged, values[1] and recipients_of(first, to) or {}, {})
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

-- Decide: for whom it is, its id, and whether there is room.

-- Recipients are frozen now (G6): for "all", everybody seen within the retention time, whatever the presence.
local names, entries = { to }, { redis.call('HGET', key('presence'), to) or '' }
if to == 'all' then
  local days = setting('retention_days', redis.call('HGET', KEYS[1], 'retention_days')) or settings:match('^%d+')
  -- Who is known but was not seen for so long is none; of twice as many as may be recipients nobody reads through them.
  local known = redis.call('HLEN', key('presence'))
  names, entries = {}, {}
  if known <= 2 * RECIPIENTS_MAXIMUM then
    names, entries = everybody_else(iso(NOW - days * 86400000000))
    known = #names
  end
  if known > RECIPIENTS_MAXIMUM then
    return refuse('FULL', 'to is "all": that is ' .. known .. ' instances, and a message may have '
      .. RECIPIENTS_MAXIMUM .. ' recipients.', 'Forget those that are gone: coord forget --unseen 7d.')
  end
elseif entries[1] == '' and unknown == 'reject' then
  return refuse('NOT_FOUND', 'to is "' .. to .. '": no instance of that name has ever been seen.',
    'Look at presence for the names, or unset COORD_UNKNOWN_RECIPIENT=reject.')
elseif entries[1] == '' and type(redis.pcall('ZSCORE', key('forgotten'), to)) == 'string' then
  return refuse('NOT_FOUND', 'to is "' .. to .. '": that instance was forgotten.',
    'It can be sent to once it has started again; presence lists the names.')
end

-- Every key that is written, those of what it replies to included.
local root = replied and (replied.thread or reply_to) -- the first message of the conversation
local zsets = { key('timeline'), key('outbox', me), key('type', kind), key('pending'), key('deadlines'),
  root and key('thread', root) or false, root and key('inbox', me) or false }
local lists = { replied and key('notifications', replied.from) or false }
local base = { key('inbox', ''), key('unread', ''), key('pending', ''), key('notifications', '') }
for _, name in ipairs(names) do
  for i = 1, 3 do zsets[#zsets + 1] = base[i] .. name end
  lists[#lists + 1] = base[4] .. name
end
problem = problem_of({ zset = zsets, list = lists }) or (replied and problem_of(acknowledge_keys(me)))
  or (replied and replied.dead and wrong_type('zset', key('dead')))
if problem then return problem end
local counter = 'published:' .. kind
local count = redis.call('HGET', KEYS[1], counter)
if count and not whole(count) then
  return refuse('INTERNAL', KEYS[1] .. ' has the counter ' .. counter .. ' ' .. quoted(count) .. ', which is no number.',
    'Delete that field: it then counts from 0.')
end
local last = tonumber(META.stamp or '0')
if not (last and last >= 0 and last < 36 ^ 10 - 1) then -- ids have ten digits in base 36
  return refuse('INTERNAL', KEYS[1] .. ' has the stamp ' .. quoted(META.stamp) .. ', which is no time.',
    'Delete that field: the next stamp is then taken from the clock.')
end
local stamp = math.max(NOW, last + 1)
local id, score = id_of(stamp), exact(stamp)
problem = wrong_type('hash', key('msg', id)) or make_room(setting('max_messages', META.max_messages)
  or tonumber(settings:match('^%d+ (%d+)')))
if problem then return problem end

-- Write. A reply from one of its recipients answers a message, and acknowledges it.

local answers = replied and is_recipient(me, reply_to, replied.to)
local fields = { 'id', id, 'type', kind, 'from', me, 'to', to, 'subject', subject, 'description', description, 'timestamp',
  NOW_ISO, 'requires_ack', requires_ack }
local function add(name, value)
  fields[#fields + 1] = name
  fields[#fields + 1] = value
end
if ack_within ~= '' then add('ack_within', ack_within) end
if root then
  add('reply_to', reply_to)
  add('thread', root)
end
if to == 'all' then
  add('recipients', table.concat(names, ' '))
  add('total', #names)
  if #names > 0 then add('open', #names) end
end
if not META.protocol then redis.call('HSET', KEYS[1], 'protocol', PROTOCOL_VERSION, unpack(first_settings(settings))) end
redis.call('HSET', KEYS[1], 'stamp', score, counter, exact((whole(count) or 0) + 1))
redis.call('HSET', key('msg', id), unpack(fields))
redis.call('SET', once, id, 'EX', IDEMPOTENCY_SECONDS)
redis.call('ZADD', key('timeline'), score, id)
redis.call('ZADD', key('outbox', me), score, id)
redis.call('ZADD', key('type', kind), score, id)
-- A conversation gets its set with the first reply; most messages have none, and a set of one would cost more than it says.
local began = root and redis.call('EXISTS', key('thread', root)) == 0 and redis.call('ZSCORE', key('timeline'), root)
if began then redis.call('ZADD', key('thread', root), began, root) end
if root then redis.call('ZADD', key('thread', root), score, id) end
if #names > 0 and requires_ack == '1' then redis.call('ZADD', key('pending'), score, id) end
if #names > 0 and ack_within ~= '' then redis.call('ZADD', key('deadlines'), exact(NOW + ack_within * 1000000), id) end
local event = published_event(id, kind, me, to, subject, requires_ack, NOW_ISO, root and reply_to, answers)
for _, name in ipairs(names) do
  redis.call('ZADD', base[1] .. name, score, id)
  redis.call('ZADD', base[2] .. name, score, id)
  if requires_ack == '1' then redis.call('ZADD', base[3] .. name, score, id) end
  queue_event(name, event)
end
local already = not answers
if answers then already = select(2, acknowledge(me, reply_to, replied, '')) end
touch(me, session)

-- Tell. The sender of the original learns that it is acknowledged from this message's own event, where it gets one.

for _, name in ipairs(names) do
  redis.call('PUBLISH', key('notify', name), event)
  already = already or name == replied.from
end
redis.call('PUBLISH', key('events'), event)
if not already then tell_sender(reply_to, replied, acknowledged_event(reply_to, replied, me, '')) end
return receipt(id, NOW_ISO, '0', answers, names, entries)
