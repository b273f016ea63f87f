#!lua
-- Stores one message for everybody it is addressed to, and wakes those who listen: all of it or nothing (G1).
--
-- USES     messages events retention
-- KEYS     P:meta
-- ARGV     instance session type to subject description requires_ack ack_within reply_to idempotency_key direction orchestrator
--          unknown retention_days max_messages ack_attempts ack_interval_seconds presence_timeout_seconds
--          ack_within: seconds, "" for no deadline; the last five are the settings of a namespace that has none yet
-- Returns  id, timestamp, to, requires_ack, repeated, acknowledged, number of recipients, then for each its name and
--          presence entry ("" when never seen); behind them all known names, where the one recipient is unknown
-- Refuses  INVALID, NOT_FOUND, FULL, SUPERSEDED, INTERNAL; out of memory before the first write
local me, session, kind, to, subject, description, requires_ack, ack_within, reply_to, idempotency_key, direction, orchestrator,
  unknown, retention_days, max_messages = unpack(ARGV)
local RETENTION_EVERY = 64 -- publishes of a type
local RETENTION_WORK = 200 -- messages and recipients
local ROOM_MAXIMUM = 50

local problem = superseded(me, session)
if problem then return problem end

local function receipt(id, timestamp, addressed, asks, repeated, acknowledged, names, entries)
  local reply = { id, timestamp, addressed, asks, repeated, acknowledged and '1' or '0', tostring(#names) }
  for i, name in ipairs(names) do
    reply[#reply + 1] = name
    reply[#reply + 1] = entries[i] or redis.call('HGET', key('presence'), name) or ''
  end
  if addressed ~= 'all' and reply[#reply] == '' then
    for _, name in ipairs(redis.call('HKEYS', key('presence'))) do reply[#reply + 1] = name end
  end
  return reply
end

-- Who holds up a full namespace: of those whom the oldest open messages are for, the three with the most.
local function waited_for()
  local OLDEST, NAMED = 200, 3
  local pending, names = {}, {}
  for _, id in ipairs(redis.call('ZRANGE', key('timeline'), 0, OLDEST - 1)) do
    local addressed = redis.pcall('HGET', key('msg', id), 'to')
    for _, name in ipairs(type(addressed) == 'string' and recipients_of(id, addressed) or {}) do
      if not pending[name] and type(redis.pcall('ZSCORE', key('pending', name), id)) == 'string' then
        pending[name] = redis.call('ZCARD', key('pending', name))
        names[#names + 1] = name
      end
    end
  end
  table.sort(names, function(a, b) return pending[a] > pending[b] end)
  for i, name in ipairs(names) do names[i] = name .. ' (' .. pending[name] .. ')' end
  return #names == 0 and 'nobody known' or table.concat(names, ', ', 1, math.min(#names, NAMED))
end

-- A repeat returns what the first call returned (G4). The content is compared, not a digest of it: a repeat is rare,
-- and the first call then has nothing to compute.
local once = key('once', me) .. ':' .. idempotency_key
local first = redis.pcall('GET', once)
if type(first) == 'table' then return wrong_type('string', once) or first end
if first then
  problem = wrong_type('hash', key('msg', first)) or (reply_to ~= '' and wrong_type('hash', key('msg', reply_to)) or nil)
  if problem then return problem end
  local stored = redis.call('HMGET', key('msg', first),
    'type', 'to', 'subject', 'description', 'requires_ack', 'reply_to', 'timestamp', 'recipients', 'ack_within')
  local meant = to ~= '' and to or redis.call('HGET', key('msg', reply_to), 'from') or stored[2]
  if stored[1] and (stored[1] ~= kind or stored[2] ~= meant or stored[3] ~= subject
    or stored[4] ~= description or stored[5] ~= requires_ack or (stored[6] or '') ~= reply_to
    or (stored[9] or '') ~= ack_within) then
    return refuse('INVALID', 'The idempotency_key was used for ' .. first .. ' with other content.',
      'Use a new key for a new message; the old one can only repeat the same content.')
  end
  local names = {}
  if stored[2] == 'all' then
    for name in (stored[8] or ''):gmatch('%S+') do names[#names + 1] = name end
  elseif stored[2] then
    names[1] = stored[2]
  end
  local _, acknowledged = read_receipt(reply_to ~= '' and redis.call('HGET', key('msg', reply_to), 'receipt:' .. me))
  redis.call('SET', once, first, 'KEEPTTL') -- changes nothing, but replicates: WAIT is about the connection's last write
  touch(me, session)
  return receipt(first, stored[7] or '', stored[2] or to, requires_ack, '1', acknowledged, names, {})
end

local replied -- the message this one replies to: from, to, thread, type, subject
if reply_to ~= '' then
  problem = wrong_type('hash', key('msg', reply_to))
  if problem then return problem end
  replied = redis.call('HMGET', key('msg', reply_to), 'from', 'to', 'thread', 'type', 'subject')
  if not (replied[1] and replied[2] and replied[4] and replied[5]) then
    return refuse('NOT_FOUND', 'reply_to is ' .. quoted(reply_to) .. ': no such message is stored.',
      'List messages with check and copy the id from there.')
  end
  if to == '' then to = replied[1] end
end
if to == me then
  return refuse('INVALID', 'to is "' .. me .. '": that is yourself.', replied and replied[1] == me
    and 'You wrote the message you reply to: say with to whom this goes.' or 'Give another instance, or "all".')
end
-- Only here, because a reply finds its recipient here; the sender's side of the rule needs no store.
if (direction == 'orchestrator' and to ~= orchestrator) or (direction == 'all' and to ~= 'all')
  or (direction == 'feature' and (to == orchestrator or to == 'all')) then
  return refuse('INVALID', kind .. ' goes to ' .. (direction == 'feature' and 'a feature' or direction) .. ', not to "'
    .. to .. '".', 'Use GENERAL, or unset COORD_DIRECTION=strict.')
end

-- Recipients are frozen now (G6): for "all", everybody seen within the retention time, whatever the presence.
local names, entries = {}, {}
if to == 'all' then
  local cutoff = iso(NOW - (setting('retention_days', META[3]) or tonumber(retention_days)) * 86400000000)
  local seen = redis.call('HGETALL', key('presence'))
  for i = 1, #seen, 2 do
    local heartbeat = seen[i + 1]:match(HEARTBEAT)
    -- What is no name nobody can have; with a space in it, the list of recipients could not be read again.
    local named = seen[i]:find('^%w[%w._-]*$') and #seen[i] <= 64
    if named and seen[i] ~= me and (not heartbeat or heartbeat >= cutoff) then
      names[#names + 1], entries[#entries + 1] = seen[i], seen[i + 1]
    end
  end
else
  names[1], entries[1] = to, redis.call('HGET', key('presence'), to) or ''
  if entries[1] == '' and unknown == 'reject' then
    return refuse('NOT_FOUND', 'to is "' .. to .. '": no instance of that name has ever been seen.',
      'Look at presence for the names, or unset COORD_UNKNOWN_RECIPIENT=reject.')
  end
end

local root = replied and (replied[3] or reply_to)
problem = wrong_type('zset', key('timeline')) or wrong_type('zset', key('outbox', me))
  or wrong_type('set', key('pending')) or (ack_within ~= '' and wrong_type('zset', key('deadlines')))
  or (root and wrong_type('zset', key('thread', root))) or (root and wrong_type('zset', key('inbox', me)))
local answers = replied and not problem and is_recipient(me, reply_to, replied[2])
if answers and not problem then problem = acknowledge_problem(me, replied[1]) end
for _, name in ipairs(names) do
  problem = problem or wrong_type('zset', key('inbox', name)) or wrong_type('zset', key('pending', name))
    or wrong_type('zset', key('unread', name)) or wrong_type('list', key('notifications', name))
end
-- Ids have ten digits in base 36; a stamp beyond them, or none at all, could not be kept in order.
local last = tonumber(META[2] or '0')
if not problem and not (last and last >= 0 and last < 36 ^ 10 - 1) then
  problem = refuse('INTERNAL', KEYS[1] .. ' has the stamp ' .. quoted(META[2]) .. ', which is no time.',
    'Delete that field: the next stamp is then taken from the clock.')
end
local counter = 'published:' .. kind
local published = redis.call('HGET', KEYS[1], counter) or '0'
if not problem and not (published:match('^%d+$') and #published <= 15) then
  problem = refuse('INTERNAL', KEYS[1] .. ' has the counter ' .. counter .. ' ' .. quoted(published) .. ', which is no number.',
    'Delete that field: it then counts from 0.')
end
if problem then return problem end

-- At the bound each publish makes room, a little more than it needs, so that not every one has to; else it looks now and
-- then for what has become too old. Only what is not settled, and never taken, can fill a namespace.
local maximum = setting('max_messages', META[4]) or tonumber(max_messages)
local surplus = redis.call('ZCARD', key('timeline')) - maximum
if surplus >= 0 and redis.call('SCARD', key('pending')) + redis.call('ZCARD', key('dead')) >= maximum then
  return refuse('FULL', 'The namespace holds ' .. maximum .. ' messages that are not acknowledged, its maximum; most are for '
    .. waited_for() .. '.', 'Acknowledge them, drop dead ones with `coord dead drop`, or raise it: coord settings max_messages.')
end
if surplus >= 0 or published % RETENTION_EVERY == 0 then
  problem = retain_problem()
  if problem then return problem end
  retain(RETENTION_WORK, surplus >= 0 and math.max(1, math.min(ROOM_MAXIMUM, math.floor(maximum / 100))) or 0)
end

local stamp = math.max(NOW, last + 1)
local score = exact(stamp)
local id = 'msg-' .. base36(stamp)
problem = wrong_type('hash', key('msg', id))
if problem then return problem end

-- From here on only writes.
local message = { 'id', id, 'type', kind, 'from', me, 'to', to, 'subject', subject, 'description', description,
  'timestamp', NOW_ISO, 'requires_ack', requires_ack }
local function field(name, value)
  message[#message + 1] = name
  message[#message + 1] = value
end
if replied then field('reply_to', reply_to) end
if root then field('thread', root) end
if to == 'all' then field('recipients', table.concat(names, ' ')) end
if to == 'all' and #names > 0 then field('open', #names) end
if ack_within ~= '' then field('ack_within', ack_within) end

redis.call('HSET', KEYS[1], 'stamp', score, counter, exact(published + 1))
if not META[1] then
  redis.call('HSET', KEYS[1], 'protocol', PROTOCOL_VERSION, unpack(first_settings(14)))
end
redis.call('HSET', key('msg', id), unpack(message))
redis.call('ZADD', key('timeline'), score, id)
redis.call('ZADD', key('outbox', me), score, id)
redis.call('SET', once, id, 'EX', IDEMPOTENCY_SECONDS)
touch(me, session)

-- A conversation gets its set with the first reply; most messages have none, and a set of one would cost more than it says.
if root then
  local began = redis.call('ZCARD', key('thread', root)) == 0 and redis.call('ZSCORE', key('timeline'), root)
  if began then redis.call('ZADD', key('thread', root), began, root) end
  redis.call('ZADD', key('thread', root), score, id)
end

local event = published_event(id, kind, me, to, subject, requires_ack, NOW_ISO, replied and reply_to, answers)

-- Acknowledged means answered. The sender of the original learns it from this message's own event where it gets one.
if answers then
  local _, already = acknowledge(me, reply_to, replied[2], '')
  local told = already or to == replied[1]
  if to == 'all' then
    for _, name in ipairs(names) do told = told or name == replied[1] end
  end
  if not told then
    local acknowledgement = acknowledged_event(reply_to, replied[4], me, replied[1], replied[5], '')
    queue_event(replied[1], acknowledgement)
    redis.call('PUBLISH', key('events'), acknowledgement)
  end
end

if requires_ack == '1' and #names > 0 then redis.call('SADD', key('pending'), id) end
if ack_within ~= '' and #names > 0 then redis.call('ZADD', key('deadlines'), exact(NOW + ack_within * 1000000), id) end
for _, name in ipairs(names) do
  redis.call('ZADD', key('inbox', name), score, id)
  redis.call('ZADD', key('unread', name), score, id)
  if requires_ack == '1' then redis.call('ZADD', key('pending', name), score, id) end
  queue_event(name, event)
end
redis.call('PUBLISH', key('events'), event)

return receipt(id, NOW_ISO, to, requires_ack, '0', answers, names, entries)
