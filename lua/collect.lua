#!lua flags=allow-oom
-- What an agent that did not ask should be shown: new messages and acknowledgements, lent until confirmed.
--
-- USES     recipients receipts seals messages loans doing
-- KEYS     P:meta
-- ARGV     instance session moment waker limit bytes description_bytes loan_seconds
--          moment: "start" of a session, with all that is pending; "turn", a prompt; "tool", within a turn; "resume" of a
--          session, with reminders of what is pending; "stop", with reminders of what is pending and was not reminded of in
--          this session; "wake", in the background. At "stop" and "wake" there is nothing where nothing rouses
--          waker: its token, at "wake"; bytes, description_bytes: as in check
-- Returns  JSON object: loan, now, waiting (how many more messages wait; beyond 2,000 perhaps more), messages, events (JSON
--          texts), reminders (pending messages that were presented, oldest first, at most 100, without texts)
-- Refuses  SUPERSEDED, TAKEN, INTERNAL; at "wake" NOT_FOUND where the session has ended
local me, session, moment, waker, limit, bytes, description_bytes, loan_seconds = unpack(ARGV)
local about = { me = me, limit = tonumber(limit), bytes = tonumber(bytes), description_bytes = tonumber(description_bytes) }
local BATCH = 100
local unread, pending, loaned = key('unread', me), key('pending', me), key('loaned', me)
local problem = superseded(me, session) or problem_of(mail_keys(me))
  or problem_of({ zset = { pending }, set = { key('reminded', me) } })
if problem then return problem end

-- A waker may have missed being told that it is over.
if moment == 'wake' and waker ~= '' then
  if ENTRY and ENTRY:find(LEFT, 1, true) then return refuse('NOT_FOUND', 'The session has ended.', 'End the waker.') end
  if try('GET', key('waker', me)) ~= waker then
    return refuse('SUPERSEDED', 'This waker has lost its place.', 'Take it again, or end it.')
  end
  call('SET', key('waker', me), waker, 'EX', WAKER_SECONDS)
end
call('ZREMRANGEBYSCORE', loaned, '-inf', NOW_TEXT)
-- Written by a clock that has been stepped back since: its message would be shown to nobody until then.
call('ZREMRANGEBYSCORE', loaned, '(' .. exact(NOW + LOAN_SECONDS_MAXIMUM * 1000000), '+inf')

-- New are the messages in the unread list that no other reader of this session is showing right now.
local candidates, seen = {}, {}
for _, source in ipairs(moment == 'start' and { pending, unread } or { unread }) do
  local found, offset = 0, 0
  repeat
    local ids = call('ZRANGE', source, offset, offset + BATCH - 1)
    for _, id in ipairs(ids) do
      local taken = found == about.limit or call('ZSCORE', loaned, id)
      if not taken then found = found + 1 end
      if not taken and not seen[id] then candidates[#candidates + 1] = id end
      seen[id] = true
    end
    offset = offset + BATCH
  until found == about.limit or #ids < BATCH or offset >= READ_MAXIMUM
end
table.sort(candidates) -- ids sort like their stamps

-- What was presented and is unanswered. Never in one request with its message, nor before it: what another surface is showing, or
-- reminding of, right now is on loan.
local reminders = {}
local function remind()
  for _, id in ipairs(call('ZRANGE', pending, 0, READ_MAXIMUM - 1)) do
    if #reminders == WRITE_MAXIMUM then break end
    local known = (moment == 'stop' and call('SISMEMBER', key('reminded', me), id) == 1)
      or call('ZSCORE', unread, id) or call('ZSCORE', loaned, id)
    local message = not known and load_message(id, me)
    if message then
      message[DESCRIPTION] = ''
      reminders[#reminders + 1] = message
    end
  end
end
-- What holds an agent at its stop or wakes it: a message that asks for an answer or is one to its own, a reminder, and that
-- nobody answers. What else there is comes along.
local ROUSING = { message_undelivered = true, message_unanswered = true, message_dead = true }
local must_rouse = moment == 'stop' or moment == 'wake'
local function message_rouses()
  if call('ZINTERCARD', 2, unread, pending, 'LIMIT', 1) == 1 then return true end
  for _, id in ipairs(call('ZRANGE', unread, 0, READ_MAXIMUM / 2 - 1)) do
    local replied = try('HGET', key('msg', id), 'reply_to')
    if type(replied) == 'string' and try('HGET', key('msg', replied), 'from') == me then return true end
  end
  return false
end
local returned = return_loans(me, false) -- how many events are still on loan
local queue = key('notifications', me)
local queued = call('LRANGE', queue, 0, QUEUE_EVENTS_MAXIMUM - 1)
local rouses = not must_rouse or (#candidates > 0 and message_rouses())
if moment == 'resume' or (moment == 'stop' and not rouses) then remind() end
rouses = rouses or #reminders > 0
for _, event in ipairs(queued) do
  rouses = rouses or ROUSING[event:match('^{"event":"([a-z_]*)"') or '']
end

local page = new_page()
for _, id in ipairs(rouses and candidates or {}) do
  if add_to_page(page, id, about) then break end
end
local function lend_message(message)
  call('ZADD', loaned, exact(NOW + loan_seconds * 1000000), message[ID])
end
for _, message in ipairs(page.messages) do lend_message(message) end
if moment == 'stop' then
  for _, message in ipairs(reminders) do lend_message(message) end
end
for _, reported in ipairs(page.unreadable) do call('ZREM', unread, reported.id) end -- check lists it, with the reason

-- What is shown now, or by another surface of the session at this moment, does not wait.
local waiting = call('ZCARD', unread)
if moment == 'start' then
  local both = call('ZINTERCARD', 2, unread, pending, 'LIMIT', READ_MAXIMUM)
  local open = call('ZCARD', pending)
  waiting = both == READ_MAXIMUM and math.max(waiting, open) or waiting + open - both
end
for _, id in ipairs(call('ZRANGE', loaned, 0, READ_MAXIMUM - 1)) do
  local counted = call('ZSCORE', unread, id) or (moment == 'start' and call('ZSCORE', pending, id))
  if counted then waiting = waiting - 1 end
end

-- Events other than messages leave the queue; those of messages not yet presented stay for who asks for notifications.
local room = math.min(about.limit, QUEUE_EVENTS_MAXIMUM - returned)
local events, kept, read = {}, {}, 0
if rouses and #queued > 0 then
  local announced = {}
  for i, event in ipairs(queued) do announced[i] = announced_id(event) end
  local unpresented = call('ZMSCORE', unread, unpack(announced))
  for i, event in ipairs(queued) do
    if #events == room then break end
    read = i
    if announced[i] == '' then
      events[#events + 1] = event
    elseif unpresented[i] then
      kept[#kept + 1] = event
    end
  end
  if #kept < read then
    call('LTRIM', queue, read, -1)
    put_first(queue, kept)
  end
end
local loan = lend(me, events, loan_seconds)

-- What is shown at a stop or wakes goes on with the turn, or begins one.
local shows = #page.messages + #events + #reminders > 0
local begun = moment == 'turn' or moment == 'tool'
if (moment == 'stop' or moment == 'wake') and shows then begun = true end
-- A host that tells of stops alone, as Cursor does, tells nothing: its agent would be idle for ever.
if (moment == 'wake' and not shows) or (moment == 'stop' and not (ENTRY and ENTRY:find('"doing":"', 1, true))) then
  touch(me, session)
else
  keep_doing(me, session, begun and 'working' or 'idle')
end
return cjson.encode({ loan = loan, waiting = waiting, now = NOW_ISO }):sub(1, -2)
  .. ',"messages":' .. json_list(page.messages) .. ',"events":' .. json_list(events) .. ',"reminders":'
  .. json_list(reminders) .. '}'
