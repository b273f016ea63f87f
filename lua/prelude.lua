-- What every verb shares. A script is: the first line of the verb, this file, the parts that the verb USES, the rest of
-- the verb. KEYS[1] is P:meta and names the namespace; every other key and channel is named in these files.

-- By these names, since to look them up in `redis` took longer than a small command.
local call = redis.call
local try = redis.pcall -- an error is its answer

-- How cjson writes and reads is one setting for all scripts of the server, and whoever may run one, in another namespace as well,
-- can change it: to rounded numbers, or to errors behind our first write.
cjson.encode_max_depth(1000)
cjson.decode_max_depth(1000)
cjson.encode_number_precision(14)

-- Bounds, the same as in protocol.json (a test compares them).
local QUEUE_EVENTS_MAXIMUM = 1000
local IDEMPOTENCY_SECONDS = 86400
local LOAN_SECONDS_MAXIMUM = 86400
local OFFLINE_FACTOR = 3
local PROTOCOL_VERSION = 2
-- What one call may do while everybody else waits (G12), in units of message × recipient. More is another call's, from a cursor.
local RECIPIENTS_MAXIMUM = 2000
local READ_MAXIMUM = 2000
local WRITE_MAXIMUM = 100

local PREFIX = KEYS[1]:sub(1, -5) -- without "meta"
local function key(kind, name)
  return name and PREFIX .. kind .. ':' .. name or PREFIX .. kind
end

-- Refuses with a sentence and what to do next; clients split at the first space and at the tabs. Behind a second one a hint may
-- have the seconds until it may be tried again.
local function refuse(code, sentence, hint)
  return redis.error_reply(code .. ' ' .. sentence .. '\t' .. hint)
end

local function quoted(text)
  return '"' .. text:gsub('%c', '?') .. '"'
end

local CARDINALITY = { hash = 'HLEN', list = 'LLEN', set = 'SCARD', string = 'STRLEN', zset = 'ZCARD' }

-- A refusal when `name` holds another type.
local function wrong_type(kind, name)
  local reply = try(CARDINALITY[kind], name)
  if type(reply) == 'number' then return nil end
  if not reply.err:find('^WRONGTYPE') then return reply end
  local held = call('TYPE', name).ok
  return refuse('INTERNAL', name .. ' holds a ' .. held .. ' where a ' .. kind .. ' belongs.',
    'Something else writes into this namespace: rename that key, or set another COORD_KEY_PREFIX.')
end

-- A refusal when one of the keys, by their type, holds another: problem_of({ zset = { … }, list = { … } }). Each verb asks
-- for every key that it writes before its first write: Lua does not roll back, so a write that failed half-way would leave a
-- message that some recipients never get. A name may be false.
local function problem_of(expected)
  for kind, names in pairs(expected) do
    for i = 1, #names do
      if names[i] and type(try(CARDINALITY[kind], names[i])) ~= 'number' then return wrong_type(kind, names[i]) end
    end
  end
  return nil
end

-- The namespace itself: its version, the newest stamp, what publish and retention go by, and which one it is.
local stored = try('HMGET', KEYS[1], 'protocol', 'stamp', 'max_messages', 'retained', 'id', 'senders')
if stored.err then return wrong_type('hash', KEYS[1]) or stored end
local META = { protocol = stored[1], stamp = stored[2], max_messages = stored[3], retained = stored[4], id = stored[5],
  senders = stored[6] }

-- A namespace of another breaking version is left alone, by every verb.
local version = tonumber(META.protocol) or PROTOCOL_VERSION
if version ~= PROTOCOL_VERSION then
  local namespace = PREFIX:sub(1, -2)
  return refuse('PROTOCOL', 'The namespace ' .. namespace .. ' uses protocol version ' .. META.protocol
    .. ', this program knows version ' .. PROTOCOL_VERSION .. '.',
    version > PROTOCOL_VERSION
      and 'Update cli-coordination here and restart the agent, whose server is still the older one; or use another '
        .. 'COORD_KEY_PREFIX.'
      or 'Take it over: `coord export` with the version of cli-coordination that wrote it, then `coord import` with this one, '
        .. 'under another COORD_KEY_PREFIX or here when the old keys are gone '
        .. "(redis-cli --scan --pattern '" .. namespace .. ":*' | xargs redis-cli unlink).")
end

-- A whole number as we store it, else nil: what another program wrote, "nan" and "1e308" included, is no count and no time.
local function whole(text)
  return type(text) == 'string' and #text <= 16 and text:find('^%d+$') and tonumber(text) or nil
end

-- Doubles hold a stamp exactly, but tostring, .. and cjson print it rounded.
local function exact(number)
  return string.format('%.0f', number)
end

-- A client that lives long says behind its session, after a tab, which namespace it knows and the newest message of it: where
-- that was lost, with its server or by FLUSHALL, its sender or reader must not go on as if nothing were.
local fence, known_id, known_message = (ARGV[2] or ''):match('^([^\t]*)\t(%S*) (%S*)$')
if fence then
  ARGV[2] = fence -- luacheck: ignore 122
  local namespace = PREFIX:sub(1, -2)
  local newest = not META.stamp and 0 or whole(META.stamp) or math.huge -- what is no stamp is another refusal's
  local went_back = (tonumber(known_message:sub(#'msg-' + 1), 36) or 0) > newest
  if went_back or (known_id ~= '' and META.id ~= known_id) then
    return refuse('LOST', went_back and META.id == known_id
      and 'The namespace ' .. namespace .. ' has lost its newest messages: ' .. known_message .. ' came after all that is stored.'
      or 'The namespace ' .. namespace .. ' was emptied or replaced: it is not the one that was here before.',
      'What was sent or answered may be gone: look with check, and send again what is missing. The next call goes on with '
        .. 'what is there.')
  end
end

-- The raw clock in microseconds, and the same as text.
local CLOCK = call('TIME')
local NOW = CLOCK[1] * 1000000 + CLOCK[2]
local NOW_TEXT = CLOCK[1] .. ('00000' .. CLOCK[2]):sub(-6)

-- UTC, ISO 8601 with milliseconds; from days to a date as in Howard Hinnant's civil_from_days. `(a - a % b) / b` divides whole
-- numbers, and %d cuts off what is behind the point: math.floor made every script slower by a fortieth.
local function iso(microseconds)
  local in_day = microseconds % 86400000000
  local z = (microseconds - in_day) / 86400000000 + 719468
  local doe = z % 146097
  local yoe = doe - (doe - doe % 1460) / 1460 + (doe - doe % 36524) / 36524 - (doe - doe % 146096) / 146096
  yoe = (yoe - yoe % 365) / 365
  local doy = doe - 365 * yoe - (yoe - yoe % 4) / 4 + (yoe - yoe % 100) / 100
  local mp = 5 * doy + 2
  mp = (mp - mp % 153) / 153
  local day = 153 * mp + 2
  day = doy - (day - day % 5) / 5 + 1
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + (z - doe) / 146097 * 400 + (month <= 2 and 1 or 0)
  local milliseconds = (in_day - in_day % 1000) / 1000
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%03dZ', year, month, day, milliseconds / 3600000,
    milliseconds / 60000 % 60, milliseconds / 1000 % 60, milliseconds % 1000)
end
local NOW_ISO = iso(NOW)

-- The stamp of an id, also after the message is gone; nil when nothing by that id was ever stored.
local function stamp_of(id)
  local stored = try('ZSCORE', key('timeline'), id)
  if whole(stored) then return tonumber(stored) end
  local text = id:match('^msg%-([0-9a-z]+)$')
  return text and #text == 10 and tonumber(text, 36) or nil
end

-- The presence entry of the caller, which every verb names first: read once, and the type of its key checked with it.
local ENTRY = try('HGET', key('presence'), ARGV[1])
if type(ENTRY) == 'table' then return wrong_type('hash', key('presence')) or ENTRY end

local HEARTBEAT = '"last_heartbeat":"([^"]*)"'
-- Clocks of servers differ, and may be stepped back, by less than a day: what is later was written by no script, and is no sign
-- of life, else it would be one for ever.
local AHEAD_SECONDS = 86400
local LEFT = '"left":true'
local SESSION_NUMBER = '"number":(%d+)'

local function presence_entry(left, session, heartbeat)
  return '{"last_heartbeat":"' .. (heartbeat or NOW_ISO) .. '","left":' .. tostring(left) .. ',"session":' .. session .. '}'
end

-- Writes the caller's presence entry. Who had none may have been forgotten, and may be sent to again from now on.
local function keep_entry(instance, entry)
  call('HSET', key('presence'), instance, entry)
  if not ENTRY then try('ZREM', key('forgotten'), instance) end
end

-- The session object of an entry, without what is not of its type; an empty one where there is none or it cannot be read.
local function session_of(entry)
  -- The fields that scripts use, with their types; of a list or an object here only the keys are looked at.
  local SESSION_TYPES = { number = 'number', ids = 'table', news = 'table', agent = 'string', host = 'string', cwd = 'string',
    joined = 'string', agent_pid = 'number', machine = 'string', process = 'string', run = 'string', work_tree = 'string',
    guests = 'table', servers = 'table', hooks = 'boolean', doing = 'string', doing_at = 'string', channel = 'boolean' }
  local ok, decoded = pcall(cjson.decode, entry or '')
  local session = ok and type(decoded) == 'table' and decoded.session
  if type(session) ~= 'table' then return {} end
  for name, value in pairs(session) do
    -- Lists and objects of others, and numbers without end, could not be written again.
    local unknown = type(value) ~= 'table' and (type(value) ~= 'number' or math.abs(value) < math.huge) and type(value)
    if type(value) ~= (SESSION_TYPES[name] or unknown) then session[name] = nil end
  end
  if session.number and not whole(tostring(session.number)) then session.number = nil end
  local function texts(list)
    for i, known in pairs(list or {}) do
      if type(i) ~= 'number' or type(known) ~= 'string' then return nil end
    end
    return list
  end
  session.ids, session.servers = texts(session.ids), texts(session.servers)
  for run, guest in pairs(session.guests or {}) do
    local at = type(run) == 'string' and type(guest) == 'table' and whole(guest.at)
    session.guests[run] = at and { at = guest.at, hook = guest.hook == true or nil,
      superseded = guest.superseded == true or nil, ids = type(guest.ids) == 'table' and texts(guest.ids) or nil } or nil
  end
  local news = session.news
  if news then
    session.news = { first = news.first == true, superseded = type(news.superseded) == 'string' and news.superseded or nil }
  end
  return session
end

-- Writes a session's entry without a sign of life.
local function keep_session(instance, entry, session)
  local left = entry:find(LEFT, 1, true) and true or false
  call('HSET', key('presence'), instance, presence_entry(left, cjson.encode(session), entry:match(HEARTBEAT)))
end

-- Whether a session is the last that spoke for the instance: as a number, as "id:" and the agent's own session id, or as
-- "run:" and the name of the run, which a command is given that knows no id; "joined:" and that name for what a run sends
-- behind its joining, which may be refused.
local function is_session(entry, session)
  local number = entry and entry:match(SESSION_NUMBER)
  if not number then return false end
  if session == number then return true end
  local kind, name = session:match('^(%a+):(.*)$')
  if not kind then return false end
  local current = session_of(entry)
  if kind == 'run' or kind == 'joined' then return current.process == name or current.run == name end
  for _, known in ipairs(current.ids or {}) do
    if known == name then return true end
  end
  return false
end

-- Whether the caller only looks (G11): what it reads is neither marked nor taken, and nobody is present for it. `look` is
-- "peek", or "look" where that goes for whoever stands outside of the session of a name that has an agent.
local function looks(look, session)
  if look ~= 'look' then return look == 'peek' end
  return ENTRY and ENTRY:find(SESSION_NUMBER) and not is_session(ENTRY, session)
end

-- Whether a session may speak for the instance: where none does, everybody may, and where the last one has left, whoever
-- has not joined another.
local function speaks(entry, session)
  if session == '' or not entry or not entry:match(SESSION_NUMBER) or is_session(entry, session) then return true end
  if session:find('^run:') then return true end -- a person's command, which looks
  return entry:find(LEFT, 1, true) ~= nil and session:find('^id:') ~= nil
end

-- What a guest is refused with: code, sentence and hint. Who once spoke for the name learns that another took it.
local function refusal_to_guest(instance, session, has_spoken)
  local who = (session.agent or 'an agent') .. ' on ' .. (session.host or 'an unknown host')
    .. (session.cwd and ' in ' .. session.cwd or '') .. ', since ' .. (session.joined or 'an unknown time') .. '.'
  if has_spoken then
    return 'SUPERSEDED', 'A newer session speaks for ' .. instance .. ': ' .. who,
      'Use another instance name here, or end the other session; this one may speak again once it has ended.'
  end
  return 'TAKEN', 'Another session speaks for ' .. instance .. ': ' .. who,
    'Give this run a name of its own, with --instance or CLAUDE_INSTANCE_ID, or in a worktree of its own by coord worktree add; '
    .. 'it may speak for ' .. instance .. ' once the other session has ended.'
end

-- Whether the session of a caller is one that was superseded. A number is given only to who has joined; a run is a guest
-- by now, and one with the agent's own session id may have been a guest ever since.
local function has_spoken(current, session)
  local kind, name = session:match('^(%a+):(.*)$')
  if kind ~= 'id' then return true end
  for _, guest in pairs(current.guests or {}) do
    for _, id in ipairs(guest.superseded and guest.ids or {}) do
      if id == name then return true end
    end
  end
  return false
end

-- Fences a session that does not speak for the name: two agents under one name would answer each other's mail.
local function superseded(instance, session)
  if session == '' or speaks(ENTRY, session) then return nil end
  local current = session_of(ENTRY)
  return refuse(refusal_to_guest(instance, current, has_spoken(current, session)))
end

-- Keeps a queue of events, which has become so long, at its bound: the newest stay, and its head says how many went. The inbox
-- still has their messages.
local function bound_queue(queue, length)
  if length <= QUEUE_EVENTS_MAXIMUM then return end
  local gone = 0
  for _, event in ipairs(call('LPOP', queue, length - QUEUE_EVENTS_MAXIMUM + 1)) do
    gone = gone + (whole(event:match('^{"event":"events_skipped","count":(%d+)}$')) or 1)
  end
  call('LPUSH', queue, '{"event":"events_skipped","count":' .. exact(gone) .. '}')
end

-- Keeps the presence of a caller. Written once in each second of the clock, since the exact second is nobody's business and
-- publish would pay for it; never revives a session that left, nor keeps alive the one that superseded the caller. A
-- heartbeat from the future (the clock was stepped back) is replaced, or it would hide a death for as long as the step was.
local function touch(instance, session)
  local left = ENTRY and ENTRY:find(LEFT, 1, true)
  local second = '"last_heartbeat":"' .. NOW_ISO:sub(1, #'2026-01-01T00:00:00')
  if instance == '' or (not left and ENTRY and ENTRY:find(second, 1, true)) or not speaks(ENTRY, session) then return end
  local entry = ENTRY
  if not entry or not entry:find(HEARTBEAT) or (left and not entry:find(SESSION_NUMBER)) then
    entry = presence_entry(false, '{}') -- new, or registered and never started as a session
  elseif left then
    return
  else
    entry = entry:gsub(HEARTBEAT, '"last_heartbeat":"' .. NOW_ISO .. '"', 1)
  end
  keep_entry(instance, entry)
end
