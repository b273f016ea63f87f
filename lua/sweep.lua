#!lua flags=allow-oom
-- Does what nobody else is there to do, a bounded part of it: announces what is overdue, tells its sender, lists it as
-- dead, and takes what retention lets go. Long-lived clients run it with each heartbeat and while they wait.
--
-- USES     recipients receipts settings events seals retention
-- KEYS     P:meta
-- ARGV     instance session orchestrator
-- Returns  JSON object: how many messages were announced again, told of, listed as dead and removed; more (there is more to do
--          now), next_milliseconds (until the next deadline passes, where there is one)
-- Refuses  INTERNAL
--
-- A deadline is an id in P:deadlines, first for all recipients together, then "id instance" for each that has not
-- acknowledged. One that has passed for more recipients than one call may look at stays, and `looked` of the message says how
-- many that were. It runs while the recipient is active; while it is not, the id stands in P:paused:{instance}, and the
-- instance in P:paused until it is back. history:{instance} of the message says what happened, "a1795000000000000 t…": a
-- announced again, o told that it is offline, t told that nobody answers, d dead, r retried, x dropped.
local me, session, orchestrator = unpack(ARGV)
local RETURNS_MAXIMUM = 20 -- instances asked for their return
-- Of what one call may read and write, the deadlines have this part; the rest is for who returns, and for retention.
local LOOKS, WRITES = READ_MAXIMUM / 2, WRITE_MAXIMUM / 2
local RETURNED, REMOVED = WRITE_MAXIMUM / 4, WRITE_MAXIMUM / 4
local problem = problem_of({ zset = { key('timeline'), key('pending'), key('dead'), key('expired'), key('deadlines'),
  key('paused') } })
if problem then return problem end

local attempts, interval = in_force('ack_attempts'), in_force('ack_interval_seconds')
local timeout = in_force('presence_timeout_seconds')

-- Whether an instance is "active" or "stale"; nil where it is offline, was never seen, or its entry is damaged.
local function presence_of(instance)
  local entry = call('HGET', key('presence'), instance)
  local heartbeat = entry and not entry:find(LEFT, 1, true) and entry:match(HEARTBEAT)
  if not heartbeat or heartbeat > iso(NOW + AHEAD_SECONDS * 1000000) then return nil end
  for _, seconds in ipairs({ timeout, OFFLINE_FACTOR * timeout }) do
    if heartbeat > iso(NOW - seconds * 1000000) then return seconds == timeout and 'active' or 'stale' end
  end
  return nil
end

-- What is to be said about each message, so that a broadcast is one event for its sender and not one for each recipient.
local said, sayings = {}, {}
local function say(what, id, message, instance)
  local name = what .. ' ' .. id
  if not said[name] then
    said[name] = { what = what, id = id, message = message, instances = {} }
    sayings[#sayings + 1] = said[name]
  end
  table.insert(said[name].instances, instance)
end

local function pause(id, instance)
  call('ZADD', key('paused', instance), exact(stamp_of(id) or 0), id)
  call('ZADD', key('paused'), 'NX', NOW_TEXT, instance)
end

local function schedule(id, instance, seconds)
  call('ZADD', key('deadlines'), deadline_after(seconds), id .. ' ' .. instance)
end

-- One step for one recipient whose deadline has passed. Returns whether anything was written.
local function announce_again(id, instance)
  local message = read_for(instance, id)
  if not message or not message.to then return false end
  local state, since_retry = read_history(message.history)
  local _, acknowledged = read_receipt(message.receipt)
  if acknowledged or state == 'd' or state == 'x' or state == 'f' then return false end
  local function happened(letter, what)
    call('HSET', key('msg', id), 'history:' .. instance,
      (message.history and message.history .. ' ' or '') .. letter .. NOW_TEXT)
    say(what, id, message, instance)
  end
  local presence = presence_of(instance)
  if presence == 'stale' or problem_of({ zset = { key('unread', instance), key('paused', instance) } }) then
    -- It may come back or turn offline: the interval then tells which.
    schedule(id, instance, interval)
  elseif presence ~= 'active' then
    if not (message.history or ''):find('o') then happened('o', 'undelivered') end
    pause(id, instance)
  elseif select(2, since_retry:gsub('a%d', '')) < attempts then
    happened('a', 'overdue')
    call('ZADD', key('unread', instance), exact(stamp_of(id) or 0), id)
    schedule(id, instance, interval)
  elseif not since_retry:find('t') then
    happened('t', 'unanswered')
    schedule(id, instance, interval)
  else
    happened('d', 'dead')
    local open, dead, dropped = read_counts(message)
    call('HSET', key('msg', id), 'dead', dead + 1)
    place(id, open, dead + 1, dropped)
  end
  return true
end

local read, written = 0, 0
local enough = false
repeat
  local due = call('ZRANGE', key('deadlines'), '-inf', NOW_TEXT, 'BYSCORE', 'LIMIT', 0, 1)[1]
  if not due then break end
  call('ZREM', key('deadlines'), due) -- first: it may be set anew
  local id, instance = due:match('^(%S*) ?(.*)$')
  local known = try('HMGET', key('msg', id), 'to', 'looked')
  local names = not known[1] and {} or instance ~= '' and { instance } or recipients_of(id, known[1])
  local looked = instance == '' and whole(known[2]) or 0
  while looked < #names and not enough do
    looked, read = looked + 1, read + 1
    if announce_again(id, names[looked]) then written = written + 1 end
    enough = read >= LOOKS or written >= WRITES
  end
  if looked < #names then
    call('ZADD', key('deadlines'), NOW_TEXT, due)
    call('HSET', key('msg', id), 'looked', looked)
  elseif known[2] then
    call('HDEL', key('msg', id), 'looked')
  end
  read = read + 1
  enough = enough or read >= LOOKS
until enough

-- Who is back: its deadlines begin anew. Those not asked for the longest time are asked first.
local away = call('ZRANGE', key('paused'), 0, RETURNS_MAXIMUM - 1)
if call('ZSCORE', key('paused'), me) then table.insert(away, 1, me) end
local returned = 0
for _, instance in ipairs(away) do
  call('ZADD', key('paused'), 'XX', NOW_TEXT, instance)
  local readable = not problem_of({ zset = { key('paused', instance), key('pending', instance) } })
  local back = readable and returned < RETURNED and presence_of(instance) == 'active'
  for _, id in ipairs(back and call('ZRANGE', key('paused', instance), 0, RETURNED - returned - 1) or {}) do
    local seconds = try('HGET', key('msg', id), 'ack_within')
    if type(seconds) == 'string' and call('ZSCORE', key('pending', instance), id) then
      schedule(id, instance, whole(seconds) or interval)
    end
    call('ZREM', key('paused', instance), id)
    returned = returned + 1
  end
  if readable and call('ZCARD', key('paused', instance)) == 0 then call('ZREM', key('paused'), instance) end
end

local counts = { overdue = 0, undelivered = 0, unanswered = 0, dead = 0 }
for _, saying in ipairs(sayings) do
  local what, message, instances = saying.what, saying.message, saying.instances
  counts[what] = counts[what] + 1
  local hear = {} -- who is told
  if what == 'overdue' then
    hear = instances
  else
    if message.from then hear[1] = message.from end
    local known = orchestrator ~= message.from and what ~= 'undelivered'
      and call('HEXISTS', key('presence'), orchestrator) == 1
    -- Not where it is the one that does not answer.
    if known and not (#instances == 1 and instances[1] == orchestrator) then hear[#hear + 1] = orchestrator end
  end
  local event = reminder_event(what, saying.id, message, what ~= 'overdue' and instances)
  for _, instance in ipairs(hear) do
    if not wrong_type('list', key('notifications', instance)) then announce(instance, event) end
  end
  call('PUBLISH', key('events'), event)
end

local removed, more = retain(REMOVED, 0)
-- Who may write every seal takes those that their owners do not, of one instance each time.
local owner = SEALS and SEALS.forges and call('HRANDFIELD', key('presence'))
if owner and not wrong_type('hash', key('seal', owner)) then SEALS.trim(owner, REMOVED) end
local next_due = call('ZRANGE', key('deadlines'), 0, 0, 'WITHSCORES')[2]
touch(me, session)
return cjson.encode({ announced = counts.overdue, told = counts.unanswered + counts.undelivered, dead = counts.dead,
  removed = removed, more = more or enough or returned >= RETURNED,
  next_milliseconds = next_due and math.abs(next_due) < math.huge and math.max(0, math.ceil((next_due - NOW) / 1000)) or nil })
