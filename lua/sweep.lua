#!lua flags=allow-oom
-- Does what nobody else is there to do, a bounded part of it: announces what is overdue, tells its sender, lists it as
-- dead, and takes what retention lets go. Long-lived clients run it with each heartbeat and while they wait.
--
-- USES     receipts settings events blocks retention
-- KEYS     P:meta
-- ARGV     instance session orchestrator
-- Returns  how many messages were announced again, told of, listed as dead and removed; "1" when there is more to do now;
--          in how many milliseconds the next deadline passes ("" for none)
-- Refuses  INTERNAL
--
-- A deadline is an id in P:deadlines, first for all recipients together, then "id instance" for each that has not
-- acknowledged. It runs while the recipient is active; while it is not, the id stands in P:paused:{instance}, and the
-- instance in P:paused until it is back. history:{instance} of the message says what happened, "a1795000000000000 t…": a
-- announced again, o told that it is offline, t told that nobody answers, d dead, r retried, x dropped.
local me, session, orchestrator = unpack(ARGV)
local WORK_MAXIMUM = 1000 -- recipients looked at
local RETURNS_MAXIMUM = 20 -- instances asked for their return
local problem = retain_problem() or wrong_type('zset', key('deadlines')) or wrong_type('zset', key('paused'))
if problem then return problem end

local function in_force(name)
  return setting(name, redis.call('HGET', KEYS[1], name)) or tonumber(SETTING_BOUNDS[name]:match('%d+$'))
end
local attempts, interval = in_force('ack_attempts'), in_force('ack_interval_seconds')
local timeout = in_force('presence_timeout_seconds')

local function after(seconds)
  return exact(NOW + seconds * 1000000)
end

-- Whether an instance is "active" or "stale"; nil where it is offline, was never seen, or its entry is damaged.
local function presence_of(instance)
  local entry = redis.call('HGET', key('presence'), instance)
  local heartbeat = entry and not entry:find(LEFT, 1, true) and entry:match(HEARTBEAT)
  if not heartbeat then return nil end
  for _, seconds in ipairs({ timeout, OFFLINE_FACTOR * timeout }) do
    if heartbeat > iso(NOW - seconds * 1000000) then return seconds == timeout and 'active' or 'stale' end
  end
  return nil
end

-- What is to be said about each message, so that a broadcast is one event for its sender and not one for each recipient.
local news, told = {}, {}
local function say(kind, id, instance)
  local name = kind .. ' ' .. id
  if not news[name] then
    news[name] = { kind = kind, id = id }
    told[#told + 1] = news[name]
  end
  table.insert(news[name], instance)
end

local function pause(id, instance)
  redis.call('ZADD', key('paused', instance), exact(stamp_of(id) or 0), id)
  redis.call('ZADD', key('paused'), 'NX', NOW_TEXT, instance)
end

local function schedule(id, instance, seconds)
  redis.call('ZADD', key('deadlines'), after(seconds), id .. ' ' .. instance)
end

-- One step for one recipient whose deadline has passed.
local function remind(id, instance)
  local message = key('msg', id)
  if wrong_type('zset', key('unread', instance)) or wrong_type('zset', key('paused', instance)) then
    return schedule(id, instance, interval)
  end
  local known = redis.call('HMGET', message, 'receipt:' .. instance, 'history:' .. instance, 'to', 'open', 'dead', 'dropped')
  local state, history = read_history(known[2])
  local _, acknowledged = read_receipt(known[1])
  if not known[3] or acknowledged or state == 'd' or state == 'x' then return end
  local function happened(letter)
    redis.call('HSET', message, 'history:' .. instance,
      (known[2] and known[2] .. ' ' or '') .. letter .. NOW_TEXT)
  end
  local presence = presence_of(instance)
  if presence == 'stale' then
    -- It may come back or turn offline: the interval then tells which.
    schedule(id, instance, interval)
  elseif presence ~= 'active' then
    if not (known[2] or ''):find('o') then
      happened('o')
      say('undelivered', id, instance)
    end
    pause(id, instance)
  elseif select(2, history:gsub('a%d', '')) < attempts then
    happened('a')
    redis.call('ZADD', key('unread', instance), exact(stamp_of(id) or 0), id)
    say('overdue', id, instance)
    schedule(id, instance, interval)
  elseif not history:find('t') then
    happened('t')
    say('unanswered', id, instance)
    schedule(id, instance, interval)
  else
    happened('d')
    local open, dead, dropped = read_counts(known[3], known[4], known[5], known[6])
    redis.call('HSET', message, 'dead', dead + 1)
    place(id, open, dead + 1, dropped)
    say('dead', id, instance)
  end
end

local work = 0
repeat
  local due = redis.call('ZRANGE', key('deadlines'), '-inf', NOW_TEXT, 'BYSCORE', 'LIMIT', 0, 1)
  if due[1] then
    redis.call('ZREM', key('deadlines'), due[1])
    local id, instance = due[1]:match('^(%S*) ?(.*)$')
    local to = redis.pcall('HGET', key('msg', id), 'to')
    local names = type(to) ~= 'string' and {} or instance ~= '' and { instance } or recipients_of(id, to)
    for _, name in ipairs(names) do
      remind(id, name)
      work = work + 1
    end
    work = work + 1
  end
until not due[1] or work >= WORK_MAXIMUM

-- Who is back: its deadlines begin anew. Those not asked for the longest time are asked first.
local away = redis.call('ZRANGE', key('paused'), 0, RETURNS_MAXIMUM - 1)
if redis.call('ZSCORE', key('paused'), me) then table.insert(away, 1, me) end
for _, instance in ipairs(away) do
  redis.call('ZADD', key('paused'), 'XX', NOW_TEXT, instance)
  local readable = not (wrong_type('zset', key('paused', instance)) or wrong_type('zset', key('pending', instance)))
  local back = readable and presence_of(instance) == 'active'
  for _, id in ipairs(back and redis.call('ZRANGE', key('paused', instance), 0, math.max(WORK_MAXIMUM - work, 0)) or {}) do
    local seconds = redis.pcall('HGET', key('msg', id), 'ack_within')
    if type(seconds) == 'string' and redis.call('ZSCORE', key('pending', instance), id) then
      schedule(id, instance, whole(seconds) or interval)
    end
    redis.call('ZREM', key('paused', instance), id)
    work = work + 1
  end
  if readable and redis.call('ZCARD', key('paused', instance)) == 0 then redis.call('ZREM', key('paused'), instance) end
end

local counts = { overdue = 0, undelivered = 0, unanswered = 0, dead = 0 }
for _, item in ipairs(told) do
  counts[item.kind] = counts[item.kind] + 1
  local message = redis.call('HMGET', key('msg', item.id), 'type', 'from', 'to', 'subject')
  local kind, from, to, subject = message[1] or '', message[2] or '', message[3] or '', message[4] or ''
  local asks = item.kind == 'overdue'
  local event = reminder_event(item.kind, item.id, kind, from, to, subject, not asks and item)
  local hear = {}
  if asks then
    hear = item
  else
    if from ~= '' then hear[1] = from end
    local known = orchestrator ~= from and item.kind ~= 'undelivered'
      and redis.call('HEXISTS', key('presence'), orchestrator) == 1
    -- Not where it is the one that does not answer.
    if known and not (#item == 1 and item[1] == orchestrator) then hear[#hear + 1] = orchestrator end
  end
  for _, instance in ipairs(hear) do
    if not wrong_type('list', key('notifications', instance)) then announce(instance, event) end
  end
  redis.call('PUBLISH', key('events'), event)
end

local removed, more = retain(WORK_MAXIMUM, 0)
local next_due = redis.call('ZRANGE', key('deadlines'), 0, 0, 'WITHSCORES')[2]
touch(me, session)
return { tostring(counts.overdue), tostring(counts.unanswered + counts.undelivered), tostring(counts.dead), tostring(removed),
  (more or work >= WORK_MAXIMUM) and '1' or '0',
  next_due and math.abs(next_due) < math.huge and exact(math.max(0, math.ceil((next_due - NOW) / 1000))) or '' }
