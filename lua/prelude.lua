-- What every verb shares. A script is: the first line of the verb, this file, the rest of the verb.
-- KEYS[1] is P:meta and names the namespace; every other key and channel is named here and nowhere else.

-- Bounds, the same as in protocol.json (a test compares them).
local QUEUE_EVENTS_MAXIMUM = 1000
local EXAMINED_MAXIMUM = 20000
local IDEMPOTENCY_SECONDS = 86400
local TOUCH_INTERVAL_SECONDS = 1
local PROTOCOL_VERSION = 1

local PREFIX = KEYS[1]:sub(1, -5) -- without "meta"
local function key(kind, name)
  return name and PREFIX .. kind .. ':' .. name or PREFIX .. kind
end

-- Refuses with a sentence and what to do next; clients split at the first space and at the tab.
local function refuse(code, sentence, hint)
  return redis.error_reply(code .. ' ' .. sentence .. '\t' .. hint)
end

local function quoted(text)
  return '"' .. text:gsub('%c', '?') .. '"'
end

local CARDINALITY = { hash = 'HLEN', list = 'LLEN', set = 'SCARD', string = 'STRLEN', zset = 'ZCARD' }

-- A refusal when `name` holds another type. Asked of every key before the first write: Lua does not roll back, so a
-- write that failed half-way would leave a message that some recipients never get.
local function wrong_type(kind, name)
  local reply = redis.pcall(CARDINALITY[kind], name)
  if type(reply) == 'number' then return nil end
  if not reply.err:find('^WRONGTYPE') then return reply end
  local held = redis.call('TYPE', name).ok
  return refuse('INTERNAL', name .. ' holds a ' .. held .. ' where a ' .. kind .. ' belongs.',
    'Something else writes into this namespace: rename that key, or set another COORD_KEY_PREFIX.')
end

-- The raw clock in microseconds. Doubles hold it exactly; only %.0f prints it exactly.
local CLOCK = redis.call('TIME')
local NOW = CLOCK[1] * 1000000 + CLOCK[2]

-- UTC, ISO 8601 with milliseconds; the days-to-date part is Howard Hinnant's civil_from_days.
local function iso(microseconds)
  local floor = math.floor
  local milliseconds = floor(microseconds / 1000)
  local days = floor(milliseconds / 86400000)
  local rest = milliseconds - days * 86400000
  local z = days + 719468
  local era = floor(z / 146097)
  local doe = z - era * 146097
  local yoe = floor((doe - floor(doe / 1460) + floor(doe / 36524) - floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + floor(yoe / 4) - floor(yoe / 100))
  local mp = floor((5 * doy + 2) / 153)
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%03dZ', year, month, doy - floor((153 * mp + 2) / 5) + 1,
    floor(rest / 3600000), floor(rest / 60000) % 60, floor(rest / 1000) % 60, rest % 1000)
end
local NOW_ISO = iso(NOW)

local DIGITS = '0123456789abcdefghijklmnopqrstuvwxyz'

-- A stamp as ten characters, short enough for an agent to copy and sorted like the stamp.
local function base36(stamp)
  local text = ''
  for _ = 1, 10 do
    local digit = stamp % 36
    text = DIGITS:sub(digit + 1, digit + 1) .. text
    stamp = (stamp - digit) / 36
  end
  return text
end

-- The stamp of an id, also after the message is gone; nil when nothing by that id was ever stored.
local function stamp_of(id)
  local stored = redis.call('ZSCORE', key('timeline'), id)
  if stored then return tonumber(stored) end
  local text = id:match('^msg%-([0-9a-z]+)$')
  return text and #text == 10 and tonumber(text, 36) or nil
end

-- The presence entry of the caller, which every verb names first: read once, and the type of its key checked with it.
local ENTRY = redis.pcall('HGET', key('presence'), ARGV[1])
if type(ENTRY) == 'table' then return wrong_type('hash', key('presence')) or ENTRY end

local HEARTBEAT = '"last_heartbeat":"([^"]*)"'
local LEFT = '"left":true'
local SESSION_NUMBER = '"number":(%d+)'

local function presence_entry(left, session)
  return '{"last_heartbeat":"' .. NOW_ISO .. '","left":' .. tostring(left) .. ',"session":' .. session .. '}'
end

-- The session object of an entry; an empty one where there is none or it cannot be read.
local function session_of(entry)
  local ok, decoded = pcall(cjson.decode, entry or '')
  local session = ok and type(decoded) == 'table' and decoded.session
  return type(session) == 'table' and session or {}
end

-- Whether a session, as a number or as "id:" and the agent's own session id, is the one that speaks for the instance.
-- Where no session speaks, or the last one has left, everybody may.
local function speaks(entry, session)
  local number = entry and entry:match(SESSION_NUMBER)
  if session == '' or not number or session == number then return true end
  local id = session:match('^id:(.*)$')
  if not id then return false end
  if entry:find(LEFT, 1, true) then return true end
  for _, known in ipairs(session_of(entry).ids or {}) do
    if known == id then return true end
  end
  return false
end

-- Fences a session that a newer one has superseded: two agents under one name would answer each other's mail.
local function superseded(instance, session)
  if session == '' or speaks(ENTRY, session) then return nil end
  local newer = session_of(ENTRY)
  return refuse('SUPERSEDED', 'A newer session speaks for ' .. instance .. ': ' .. (newer.agent or 'an agent') .. ' on '
    .. (newer.host or 'an unknown host') .. (newer.cwd and ' in ' .. newer.cwd or '') .. ', since '
    .. (newer.joined or 'an unknown time') .. '.',
    'Use another instance name here, or end the other session; this one may speak again once it has ended.')
end

-- Keeps the presence of a caller. Written at most once a second, since the exact second is nobody's business and
-- publish would pay for it; never revives a session that left, nor keeps alive the one that superseded the caller. A
-- heartbeat from the future (the clock was stepped back) is replaced, or it would hide a death for as long as the step was.
local function touch(instance, session)
  if instance == '' or not speaks(ENTRY, session) then return end
  local entry = ENTRY
  local heartbeat = entry and entry:match(HEARTBEAT)
  local left = entry and entry:find(LEFT, 1, true)
  if not heartbeat or (left and not entry:match(SESSION_NUMBER)) then -- new, or registered and never started as a session
    entry = presence_entry(false, '{}')
  elseif left then
    return
  elseif heartbeat > iso(NOW - TOUCH_INTERVAL_SECONDS * 1000000) and heartbeat <= NOW_ISO then
    return
  else
    entry = entry:gsub(HEARTBEAT, '"last_heartbeat":"' .. NOW_ISO .. '"', 1)
  end
  redis.call('HSET', key('presence'), instance, entry)
end

-- Queues one event for an instance, online or not, and wakes whoever listens for it. A full queue keeps the newest
-- events and says at its head how many went; the inbox still has their messages.
local function queue_event(instance, event)
  local queue = key('notifications', instance)
  if redis.call('RPUSH', queue, event) > QUEUE_EVENTS_MAXIMUM then
    local oldest = redis.call('LPOP', queue, 2)
    local earlier = oldest[1]:match('^{"event":"events_skipped","count":(%d+)}$')
    redis.call('LPUSH', queue, string.format('{"event":"events_skipped","count":%.0f}', earlier and earlier + 1 or 2))
  end
  redis.call('PUBLISH', key('notify', instance), event)
end

-- A receipt is "<presented at> <acknowledged at> <comment>" in microseconds, shorter while less has happened.
local function read_receipt(receipt)
  local presented, acknowledged, comment = (receipt or ''):match('^(%d+) ?(%d*) ?(.*)$')
  return presented, acknowledged ~= '' and acknowledged or nil, comment
end

-- Whether the message is addressed to the instance; a broadcast is, exactly when it is in the inbox.
local function is_recipient(instance, id, to)
  return to == instance or (to == 'all' and redis.call('ZSCORE', key('inbox', instance), id) and true or false)
end

-- A refusal when a key that an acknowledgement writes is of another type.
local function acknowledge_problem(instance, sender)
  return wrong_type('zset', key('unread', instance)) or wrong_type('zset', key('pending', instance))
    or wrong_type('set', key('pending')) or wrong_type('list', key('notifications', sender))
end

-- Settles a message for one of its recipients (G5): the first time counts, a repeat changes nothing. Returns when it
-- was first acknowledged, whether that was before this call, and the comment of that time. The caller tells the sender.
local function acknowledge(instance, id, to, comment)
  local message = key('msg', id)
  local presented, acknowledged, earlier = read_receipt(redis.call('HGET', message, 'receipt:' .. instance))
  if acknowledged then return tonumber(acknowledged), true, earlier end
  local now = string.format('%.0f', NOW)
  redis.call('HSET', message, 'receipt:' .. instance,
    (presented or now) .. ' ' .. now .. (comment ~= '' and ' ' .. comment or ''))
  redis.call('ZREM', key('unread', instance), id)
  redis.call('ZREM', key('pending', instance), id)
  -- A broadcast counts its open receipts, so that the last one is known without reading all of them.
  local open = to == 'all' and (tonumber(redis.call('HGET', message, 'open')) or 1) - 1 or 0
  if to == 'all' then redis.call('HSET', message, 'open', open) end
  if open <= 0 then redis.call('SREM', key('pending'), id) end
  return NOW, false, comment
end

local function acknowledged_event(id, kind, from, to, subject, comment)
  local event = '{"event":"message_acknowledged","message_id":' .. cjson.encode(id) .. ',"type":' .. cjson.encode(kind)
    .. ',"from":"' .. from .. '","to":"' .. to .. '","subject":' .. cjson.encode(subject)
    .. ',"requires_ack":false,"timestamp":"' .. NOW_ISO .. '"'
  return event .. (comment ~= '' and ',"comment":' .. cjson.encode(comment) or '') .. '}'
end

-- The receipts of a message, flat: name, receipt, name, receipt …
local function receipts_of(id, to)
  local names = to
  if to == 'all' then names = redis.call('HGET', key('msg', id), 'recipients') or '' end
  local receipts = {}
  for name in names:gmatch('%S+') do
    receipts[#receipts + 1] = name
    receipts[#receipts + 1] = redis.call('HGET', key('msg', id), 'receipt:' .. name) or ''
  end
  return receipts
end

local MESSAGE_FIELDS = { 'id', 'type', 'from', 'to', 'timestamp', 'requires_ack', 'subject', 'description',
  'reply_to', 'thread', 'receipt:' .. ARGV[1] } -- every verb that loads messages names its reader first

-- One message as its reader `me` may see it: the fields above (false where absent), in place of the receipt whether it is
-- acknowledged ("1", "0"), then the receipts where `me` sent it or `everyone` is asked for, else false. Second, whether
-- `me` is a recipient that sees it for the first time. When it cannot be read: nil and the reason, so that one broken
-- message never hides the others.
local function load_message(id, me, everyone)
  local message = redis.pcall('HMGET', key('msg', id), unpack(MESSAGE_FIELDS))
  if message.err then return nil, 'the key holds another type' end
  for i = 1, 8 do
    if not message[i] then
      local exists = redis.call('EXISTS', key('msg', id)) == 1
      return nil, exists and 'the field ' .. MESSAGE_FIELDS[i] .. ' is missing' or 'the message is gone'
    end
  end
  local to = message[4]
  local mine = me ~= '' and is_recipient(me, id, to)
  local presented, acknowledged
  if mine then
    presented, acknowledged = read_receipt(message[11])
  elseif to ~= 'all' then
    presented, acknowledged = read_receipt(redis.call('HGET', key('msg', id), 'receipt:' .. to))
  else
    acknowledged = (tonumber(redis.call('HGET', key('msg', id), 'open')) or 1) <= 0
  end
  message[11] = acknowledged and '1' or '0'
  message[12] = (everyone or message[3] == me) and receipts_of(id, to) or false
  if message[12] and #message[12] == 0 then message[12] = false end -- cjson writes an empty table as an object
  return message, mine and not presented
end

-- Marks as presented what `instance` is shown now for the first time.
local function mark_presented(instance, ids)
  for _, id in ipairs(ids) do
    redis.call('HSET', key('msg', id), 'receipt:' .. instance, string.format('%.0f', NOW))
  end
  if #ids > 0 then redis.call('ZREM', key('unread', instance), unpack(ids)) end
end

-- What a message adds to a result of bounded size: its texts as JSON, the rest of it, and its receipts.
local function size_of(message, cut)
  -- Of receipts 50 are listed, each with the beginning of its comment.
  local size = 300 + #cjson.encode({ message[7], message[8]:sub(1, cut) })
  for i = 2, message[12] and math.min(#message[12], 100) or 0, 2 do
    size = size + 170 + #cjson.encode(message[12][i]:sub(1, 240))
  end
  return size
end

-- A refusal when a key that holds or has handed out events or new messages is of another type.
local function event_problem(instance)
  return wrong_type('list', key('notifications', instance)) or wrong_type('zset', key('unread', instance))
    or wrong_type('hash', key('leases', instance)) or wrong_type('zset', key('leased', instance))
end

-- Puts back events whose lease has run out, or all that are out: at the head of the queue and in their order, since
-- leases are numbered and an older one holds older events.
local function return_leases(instance, all)
  local leases = redis.call('HGETALL', key('leases', instance))
  if #leases == 0 then return end
  local numbers, held = {}, {}
  for i = 1, #leases, 2 do
    local ends, events = leases[i + 1]:match('^(%d+) (.*)$')
    if all or not ends or tonumber(ends) <= NOW then
      numbers[#numbers + 1] = leases[i]
      local ok, decoded = pcall(cjson.decode, events or '')
      held[leases[i]] = ok and decoded or {}
    end
  end
  table.sort(numbers, function(a, b) return (tonumber(a) or 0) > (tonumber(b) or 0) end)
  for _, number in ipairs(numbers) do
    for i = #held[number], 1, -1 do redis.call('LPUSH', key('notifications', instance), held[number][i]) end
    redis.call('HDEL', key('leases', instance), number)
  end
end

local PUBLISHED = '^{"event":"message_published","message_id":"([^"]*)"'

-- Holds events for a reader until it confirms them. Returns the number of the lease, "" where there are no events.
local function lease_events(instance, events, lease_seconds)
  if #events == 0 then return '' end
  local lease = string.format('%.0f', redis.call('HINCRBY', KEYS[1], 'leases', 1))
  redis.call('HSET', key('leases', instance), lease,
    string.format('%.0f', NOW + lease_seconds * 1000000) .. ' ' .. cjson.encode(events))
  return lease
end

-- One string instead of nested arrays, which clients decode three times slower. Strings and false only: cjson prints
-- large numbers rounded.
local function json_list(list)
  return #list == 0 and '[]' or cjson.encode(list)
end

-- A namespace of a newer breaking version is left alone, by every verb.
local META = redis.pcall('HMGET', KEYS[1], 'protocol', 'stamp', 'retention_days')
if META.err then return wrong_type('hash', KEYS[1]) or META end
if (tonumber(META[1]) or PROTOCOL_VERSION) > PROTOCOL_VERSION then
  return refuse('PROTOCOL', 'The namespace ' .. PREFIX:sub(1, -2) .. ' uses protocol version ' .. META[1]
    .. ', this program knows version ' .. PROTOCOL_VERSION .. '.',
    'Update cli-coordination here, or use another COORD_KEY_PREFIX.')
end
