#!lua flags=allow-oom
-- What an agent that did not ask should be shown: new messages and acknowledgements, under a lease until confirmed.
--
-- USES     receipts messages leases
-- KEYS     P:meta
-- ARGV     instance session moment waiter limit budget cut lease_seconds
--          moment: "start" of a session, with all that is pending; "turn", a prompt, with reminders of what is pending;
--          "tool", within a turn; "stop", with what is pending, was shown and is neither answered nor was reminded of
--          in this session; "wake", what wakes. At "stop" and "wake" acknowledgements come only beside something else
--          waiter: its token, at "wake"; budget, cut: as in check
-- Returns  JSON text of strings and false: [[lease, how many more messages wait, how many are pending], messages, events,
--          the oldest pending messages (three, at "stop" those to be reminded of) without their texts]
-- Refuses  SUPERSEDED, INTERNAL
local me, session, moment, waiter, limit, budget, cut, lease_seconds = unpack(ARGV)
limit, budget, cut = tonumber(limit), tonumber(budget), tonumber(cut)
local REMINDED = 3
local unread, pending, leased = key('unread', me), key('pending', me), key('leased', me)
local problem = superseded(me, session) or mail_problem(me) or wrong_type('zset', pending)
  or wrong_type('set', key('reminded', me))
if problem then return problem end

-- A waiter that was replaced may have missed being told.
if moment == 'wake' and waiter ~= '' and redis.pcall('GET', key('waiter', me)) ~= waiter then
  return refuse('SUPERSEDED', 'Another waiter has taken the place of this one.', 'End it.')
end
redis.call('ZREMRANGEBYSCORE', leased, '-inf', NOW_TEXT)
-- Written by a clock that has been stepped back since: its message would be shown to nobody until then.
redis.call('ZREMRANGEBYSCORE', leased, '(' .. exact(NOW + LEASE_SECONDS_MAXIMUM * 1000000), '+inf')

-- New are the messages in the unread list that no other reader of this session is showing right now.
local BATCH = 100
local candidates, seen = {}, {}
local function add(source)
  local found = 0
  for offset = 0, EXAMINED_MAXIMUM, BATCH do
    local ids = redis.call('ZRANGE', source, offset, offset + BATCH - 1)
    for _, id in ipairs(ids) do
      local taken = found == limit or redis.call('ZSCORE', leased, id)
      if not taken then found = found + 1 end
      if not taken and not seen[id] then candidates[#candidates + 1] = id end
      seen[id] = true
    end
    if found == limit or #ids < BATCH then return end
  end
end
if moment == 'start' then add(pending) end
add(unread)
table.sort(candidates) -- ids sort like their stamps

local messages, spent = {}, 0
for _, id in ipairs(candidates) do
  local message = #messages < limit and load_message(id, me, false)
  spent = spent + (message and size_of(message, cut) or 0)
  if not message or (spent > budget and #messages > 0) then
    if #messages == limit or message then break end
    redis.call('ZREM', unread, id) -- cannot be read: check lists it, with the reason
  else
    messages[#messages + 1] = message
    redis.call('ZADD', leased, exact(NOW + lease_seconds * 1000000), id)
  end
end
-- What is shown now, or by another surface of the session at this moment, does not wait.
local waiting = redis.call('ZCARD', unread)
if moment == 'start' then
  waiting = waiting + redis.call('ZCARD', pending) - redis.call('ZINTERCARD', 2, unread, pending)
end
for _, id in ipairs(redis.call('ZRANGE', leased, 0, -1)) do
  local counted = redis.call('ZSCORE', unread, id) or (moment == 'start' and redis.call('ZSCORE', pending, id))
  if counted then waiting = waiting - 1 end
end

local reminders = {}
if moment == 'turn' or (moment == 'stop' and #messages == 0) then
  local last = moment == 'stop' and EXAMINED_MAXIMUM or limit
  for _, id in ipairs(redis.call('ZRANGE', pending, 0, last)) do
    if #reminders == REMINDED then break end
    local known = moment == 'stop' and redis.call('SISMEMBER', key('reminded', me), id) == 1
    if not known and not seen[id] then
      local message = load_message(id, me, false)
      if message then
        message[8] = ''
        reminders[#reminders + 1] = message
      end
    end
  end
end

-- Events other than messages leave the queue; those of messages not yet presented stay for who asks for notifications.
-- That nobody answers wakes a session and holds it; acknowledgements alone do neither.
local ROUSING = { message_undelivered = true, message_unanswered = true, message_dead = true }
return_leases(me, false)
local queued = redis.call('LRANGE', key('notifications', me), 0, QUEUE_EVENTS_MAXIMUM - 1)
local hands_out = (moment ~= 'wake' and moment ~= 'stop') or #messages + #reminders > 0
for _, event in ipairs(queued) do
  hands_out = hands_out or ROUSING[event:match('^{"event":"([a-z_]*)"') or '']
end
local events = {}
if hands_out then
  local kept = {} -- the newest first, as LPUSH takes them
  for _, event in ipairs(queued) do
    local id = announced_id(event)
    if id == '' and #events < limit then
      events[#events + 1] = event
    elseif id == '' or redis.call('ZSCORE', unread, id) then
      table.insert(kept, 1, event)
    end
  end
  if #kept < #queued then
    redis.call('LTRIM', key('notifications', me), #queued, -1)
    if #kept > 0 then redis.call('LPUSH', key('notifications', me), unpack(kept)) end
  end
end
local lease = lease_events(me, events, lease_seconds)

touch(me, session)
return '[' .. cjson.encode({ lease, tostring(waiting), tostring(redis.call('ZCARD', pending)) }) .. ','
  .. json_list(messages) .. ',' .. json_list(events) .. ',' .. json_list(reminders) .. ']'
