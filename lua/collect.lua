#!lua flags=allow-oom
-- What an agent that did not ask should be shown: new messages and acknowledgements, lent until confirmed.
--
-- USES     recipients receipts messages loans doing
-- KEYS     P:meta
-- ARGV     instance session moment waker limit bytes description_bytes loan_seconds
--          moment: "start" of a session, with all that is pending; "turn", a prompt, with reminders of what is pending;
--          "resume" of a session, with the same reminders;
--          "tool", within a turn; "stop", with what is pending, was shown and is neither answered nor was reminded of
--          in this session; "wake", what wakes. At "stop" and "wake" acknowledgements come only beside something else
--          waker: its token, at "wake"; bytes, description_bytes: as in check
-- Returns  JSON object: loan, waiting (how many more messages wait; beyond 2,000 perhaps more), pending (how many), messages,
--          events (JSON texts), reminders (the oldest pending messages, three, at "stop" those to be reminded of, without texts)
-- Refuses  SUPERSEDED, TAKEN, INTERNAL
local me, session, moment, waker, limit, bytes, description_bytes, loan_seconds = unpack(ARGV)
local about = { me = me, limit = tonumber(limit), bytes = tonumber(bytes), description_bytes = tonumber(description_bytes) }
local REMINDED = 3
local BATCH = 100
local unread, pending, loaned = key('unread', me), key('pending', me), key('loaned', me)
local problem = superseded(me, session) or problem_of(mail_keys(me))
  or problem_of({ zset = { pending }, set = { key('reminded', me) } })
if problem then return problem end

-- A waker that was replaced may have missed being told.
if moment == 'wake' and waker ~= '' and try('GET', key('waker', me)) ~= waker then
  return refuse('SUPERSEDED', 'Another waker has taken the place of this one.', 'End it.')
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

local page = new_page()
for _, id in ipairs(candidates) do
  if add_to_page(page, id, about) then break end
end
for _, message in ipairs(page.messages) do call('ZADD', loaned, exact(NOW + loan_seconds * 1000000), message[ID]) end
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

local reminders = {}
if moment == 'turn' or moment == 'resume' or (moment == 'stop' and #page.messages == 0) then
  local last = moment == 'stop' and READ_MAXIMUM - 1 or about.limit
  for _, id in ipairs(call('ZRANGE', pending, 0, last)) do
    if #reminders == REMINDED then break end
    local known = moment == 'stop' and call('SISMEMBER', key('reminded', me), id) == 1
    local message = not known and not seen[id] and load_message(id, me)
    if message then
      message[DESCRIPTION] = ''
      reminders[#reminders + 1] = message
    end
  end
end

-- Events other than messages leave the queue; those of messages not yet presented stay for who asks for notifications.
-- That nobody answers wakes a session and holds it; acknowledgements alone do neither.
local ROUSING = { message_undelivered = true, message_unanswered = true, message_dead = true }
local room = math.min(about.limit, QUEUE_EVENTS_MAXIMUM - return_loans(me, false))
local queue = key('notifications', me)
local queued = call('LRANGE', queue, 0, QUEUE_EVENTS_MAXIMUM - 1)
local hands_out = (moment ~= 'wake' and moment ~= 'stop') or #page.messages + #reminders > 0
for _, event in ipairs(queued) do
  hands_out = hands_out or ROUSING[event:match('^{"event":"([a-z_]*)"') or '']
end
local events, kept, read = {}, {}, 0
if hands_out and #queued > 0 then
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
return cjson.encode({ loan = loan, waiting = waiting, pending = call('ZCARD', pending) }):sub(1, -2)
  .. ',"messages":' .. json_list(page.messages) .. ',"events":' .. json_list(events) .. ',"reminders":'
  .. json_list(reminders) .. '}'
