#!lua
-- Stores one message for everybody it is addressed to, and wakes those who listen: all of it or nothing (G1).
--
-- USES     events
-- KEYS     P:meta
-- ARGV     instance session type to subject description requires_ack ack_within reply_to idempotency_key direction orchestrator
--          unknown settings
--          ack_within: seconds, "" for no deadline; settings: those of a namespace that has none yet, see parts/settings.lua
-- Returns  id, timestamp, to, requires_ack, repeated, acknowledged, number of recipients, then for each its name and
--          presence entry ("" when never seen); behind them all known names, where the one recipient is unknown
-- Refuses  INVALID, NOT_FOUND, FULL, SUPERSEDED, INTERNAL; out of memory before the first write
local me, session, kind, to, subject, description, requires_ack, ack_within, reply_to, idempotency_key, direction, orchestrator,
  unknown, settings = unpack(ARGV)
local RETENTION_EVERY = 64 -- publishes

local problem = superseded(me, session)
if problem then return problem end

local function receipt(id, timestamp, addressed, repeated, acknowledged, names, entries)
  local count = #names
  local reply = { id, timestamp, addressed, requires_ack, repeated, acknowledged and '1' or '0', tostring(count) }
  for i = 1, count do
    reply[6 + 2 * i] = names[i]
    reply[7 + 2 * i] = entries[i] or redis.call('HGET', key('presence'), names[i]) or ''
  end
  if addressed ~= 'all' and reply[7 + 2 * count] == '' then
    for _, name in ipairs(redis.call('HKEYS', key('presence'))) do reply[#reply + 1] = name end
  end
  return reply
end

local message_count = redis.pcall('ZCARD', key('timeline'))
local entry = redis.call('HGET', key('presence'), to) or ''
-- Ids have ten digits in base 36; a stamp beyond them, or none at all, could not be kept in order.
local last = tonumber(META[2] or '0')
local ordered = last and last >= 0 and last < 36 ^ 10 - 1
local has_room = type(message_count) == 'number' and message_count < (whole(META[3]) or 0)
  and message_count % RETENTION_EVERY ~= 0

local score, id
if ordered then
  local stamp = math.max(NOW, last + 1)
  score = stamp == NOW and NOW_TEXT or exact(stamp)
  -- Ten characters, short enough for an agent to copy, and sorted like the stamp.
  local digits = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 } -- filled from its end, an empty table would grow four times
  for i = 10, 1, -1 do
    local digit = stamp % 36
    digits[i] = digit < 10 and digit + 48 or digit + 87 -- "0" and "a"
    stamp = (stamp - digit) / 36
  end
  id = 'msg-' .. string.char(unpack(digits))
end

-- Most messages are plain: their key is taken at once, and nothing is left to ask that only the others need.
local plain = has_room and ordered and reply_to == '' and to ~= 'all' and to ~= me and direction == '' and unknown ~= 'reject'
local once = key('once', me) .. ':' .. idempotency_key
local first -- the id that was published under the key before
if plain then
  first = redis.pcall('SET', once, id, 'NX', 'GET', 'EX', IDEMPOTENCY_SECONDS)
else
  first = redis.pcall('GET', once)
end
local names, entries = { to }, { entry }
local root -- the first message of the conversation it belongs to
local answers = false -- whether it acknowledges the message that it replies to
local afterwards -- what else is to be done when it is stored
if first or not plain then

-- USES     receipts settings blocks retention
  -- Who holds up a full namespace: of those whom the oldest open messages are for, the three with the most.
  local function waited_for()
    local OLDEST, NAMED = 200, 3
    local pending, waiting = {}, {}
    for _, older in ipairs(redis.call('ZRANGE', key('timeline'), 0, OLDEST - 1)) do
      local addressed = redis.pcall('HGET', key('msg', older), 'to')
      for _, name in ipairs(type(addressed) == 'string' and recipients_of(older, addressed) or {}) do
        if not pending[name] and type(redis.pcall('ZSCORE', key('pending', name), older)) == 'string' then
          pending[name] = redis.call('ZCARD', key('pending', name))
          waiting[#waiting + 1] = name
        end
      end
    end
    table.sort(waiting, function(a, b) return pending[a] > pending[b] end)
    for i, name in ipairs(waiting) do waiting[i] = name .. ' (' .. pending[name] .. ')' end
    return #waiting == 0 and 'nobody known' or table.concat(waiting, ', ', 1, math.min(#waiting, NAMED))
  end

  -- A repeat returns what the first call returned (G4). The content is compared, not a digest of it: a repeat is rare,
  -- and the first call then has nothing to compute.
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
    names = {}
    if stored[2] == 'all' then
      for name in (stored[8] or ''):gmatch('%S+') do names[#names + 1] = name end
    elseif stored[2] then
      names[1] = stored[2]
    end
    local _, acknowledged = read_receipt(reply_to ~= '' and redis.call('HGET', key('msg', reply_to), 'receipt:' .. me))
    redis.call('SET', once, first, 'KEEPTTL') -- changes nothing, but replicates: WAIT is about the connection's last write
    touch(me, session)
    return receipt(first, stored[7] or '', stored[2] or to, '1', acknowledged, names, {})
  end

  local replied -- what this one replies to, as read_asked() reads it
  if reply_to ~= '' then
    replied = read_asked(reply_to, me)
    if replied.err then return wrong_type('hash', key('msg', reply_to)) or replied end
    if not (replied[1] and replied[2] and replied[3] and replied[4]) then
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
  if to == 'all' then
    names, entries = {}, {}
    local days = setting('retention_days', redis.call('HGET', KEYS[1], 'retention_days')) or settings:match('^%d+')
    local cutoff = iso(NOW - days * 86400000000)
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

  root = replied and (replied[5] or reply_to)
  problem = wrong_type('zset', key('timeline')) or (root and wrong_type('zset', key('inbox', me))) or nil
  if problem then return problem end
  answers = replied and is_recipient(me, reply_to, replied[2])
  problem = answers and acknowledge_problem(me, replied)
  if problem then return problem end
  if not ordered then
    return refuse('INTERNAL', KEYS[1] .. ' has the stamp ' .. quoted(META[2]) .. ', which is no time.',
      'Delete that field: the next stamp is then taken from the clock.')
  end

  -- At the bound each publish makes room, a little more than it needs, so that not every one has to; else it looks now and
  -- then for what has become too old. Only what is not settled, and never taken, can fill a namespace.
  local RETENTION_WORK = 200 -- messages and recipients
  local ROOM_MAXIMUM = 50
  local maximum = setting('max_messages', META[3]) or tonumber(settings:match('^%d+ (%d+)'))
  local full = message_count >= maximum
  if full or message_count % RETENTION_EVERY == 0 then
    problem = retain_problem()
    if problem then return problem end
    if full and redis.call('SCARD', key('pending')) + redis.call('ZCARD', key('dead')) >= maximum then
      return refuse('FULL', 'The namespace holds ' .. maximum .. ' messages that are not acknowledged, its maximum; most are for '
        .. waited_for() .. '.',
        'Acknowledge them, drop dead ones with `coord dead drop`, or raise it: coord settings max_messages.')
    end
    retain(RETENTION_WORK, full and math.max(1, math.min(ROOM_MAXIMUM, math.floor(maximum / 100))) or 0)
  end

  function afterwards()
    if not META[1] then redis.call('HSET', KEYS[1], 'protocol', PROTOCOL_VERSION, unpack(first_settings(settings))) end
    if not answers then return end
    -- Acknowledged means answered. The sender of the original learns it from this message's own event where it gets one.
    local _, already = acknowledge(me, reply_to, replied, '')
    local told = already or to == replied[1]
    if to == 'all' then
      for _, name in ipairs(names) do told = told or name == replied[1] end
    end
    if not told then
      local acknowledgement = acknowledged_event(reply_to, replied[3], me, replied[1], replied[4], '')
      announce(replied[1], acknowledgement)
      redis.call('PUBLISH', key('events'), acknowledgement)
    end
  end
end

local event = published_event(id, kind, me, to, subject, requires_ack, NOW_ISO, root and reply_to, answers)

-- From here on only writes. Lua does not roll back, and to ask each key for its type before cost as much as four writes: so a
-- write that meets another type is remembered, and all of them are undone. Whoever listens is told when all is there.
local failure
local function write(...)
  local reply = redis.pcall(...)
  if type(reply) == 'table' and reply.err then failure = reply end
  return reply
end
local message, timeline, outbox, pending = key('msg', id), key('timeline'), key('outbox', me), key('pending')
local counter = 'published:' .. kind
local more = ack_within ~= '' and { 'ack_within', ack_within } or {}
local function add(name, value)
  more[#more + 1], more[#more + 2] = name, value
end
if root then
  add('reply_to', reply_to)
  add('thread', root)
end
if to == 'all' then
  add('recipients', table.concat(names, ' '))
  if #names > 0 then add('open', #names) end
end
write('HSET', message, 'id', id, 'type', kind, 'from', me, 'to', to, 'subject', subject, 'description', description,
  'timestamp', NOW_ISO, 'requires_ack', requires_ack, unpack(more))
if failure then
  if plain then redis.call('DEL', once) end
  return wrong_type('hash', message) or failure
end
if not plain then redis.call('SET', once, id, 'EX', IDEMPOTENCY_SECONDS) end
redis.call('ZADD', timeline, score, id)
write('ZADD', outbox, score, id)
local number = write('HINCRBY', KEYS[1], counter, 1)
local counted = type(number) == 'number'
local thread = root and key('thread', root)
-- A conversation gets its set with the first reply; most messages have none, and a set of one would cost more than it says.
local began = root and redis.call('EXISTS', thread) == 0 and redis.call('ZSCORE', timeline, root)
if began then write('ZADD', thread, began, root) end
if root then write('ZADD', thread, score, id) end
if #names > 0 then
  if requires_ack == '1' then write('SADD', pending, id) end
  if ack_within ~= '' then write('ZADD', key('deadlines'), exact(NOW + ack_within * 1000000), id) end
end
for _, name in ipairs(names) do
  write('ZADD', key('inbox', name), score, id)
  write('ZADD', key('unread', name), score, id)
  if requires_ack == '1' then write('ZADD', key('pending', name), score, id) end
  failure = queue_event(name, event) or failure
end
-- A new block of the timeline (see README.md). The index of the type comes last: a score that was moved could not be undone.
local block = META[5]
if not failure then
  if not whole(block) or tonumber(block) > last or number % BLOCK_MESSAGES == 1 then block = score end
  write('ZADD', key('type', kind), score, block)
end

if failure then
  problem = wrong_type('zset', outbox) or wrong_type('set', pending) or wrong_type('zset', key('deadlines'))
    or wrong_type('zset', key('type', kind)) or (root and wrong_type('zset', thread)) or nil
  for _, name in ipairs(names) do
    problem = problem or wrong_type('zset', key('inbox', name)) or wrong_type('zset', key('pending', name))
      or wrong_type('zset', key('unread', name)) or wrong_type('list', key('notifications', name))
    for _, kind_of_key in ipairs({ 'inbox', 'unread', 'pending' }) do redis.pcall('ZREM', key(kind_of_key, name), id) end
    redis.pcall('LREM', key('notifications', name), -1, event)
  end
  for _, name in ipairs({ timeline, outbox, key('deadlines'), thread }) do redis.pcall('ZREM', name, id) end
  if began then redis.pcall('ZREM', thread, root) end
  redis.pcall('SREM', pending, id)
  redis.call('DEL', once, message)
  if counted and redis.call('HINCRBY', KEYS[1], counter, -1) == 0 then redis.call('HDEL', KEYS[1], counter) end
  local count = redis.call('HGET', KEYS[1], counter)
  if counted or problem or not count or whole(count) then return problem or failure end
  return refuse('INTERNAL', KEYS[1] .. ' has the counter ' .. counter .. ' ' .. quoted(count) .. ', which is no number.',
    'Delete that field: it then counts from 0.')
end
redis.call('HSET', KEYS[1], 'stamp', score, 'block', block)
touch(me, session)
if afterwards then afterwards() end
for _, name in ipairs(names) do redis.call('PUBLISH', key('notify', name), event) end
redis.call('PUBLISH', key('events'), event)
return receipt(id, NOW_ISO, to, '0', answers, names, entries)
