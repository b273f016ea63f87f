#!lua flags=allow-oom
-- Lists what nobody is reminded of any more, those that died first first; retries or drops some of them, or drops what nobody
-- will answer. A step of it.
--
-- USES     recipients receipts seals messages events
-- KEYS     P:meta
-- ARGV     instance session action limit cursor orchestrator message_id…
--          action: "list" the first limit of all; "retry", which reminds of them anew, or "drop", which asks nobody for them any
--          more; "settle", which drops what has not died as well: its sender, the orchestrator and the operator for all who
--          have not acknowledged, a recipient for itself;
--          cursor: as the step before returned it, "" at first. Only the first step refuses an id that is not dead, or not
--          open: later ones may meet what they themselves have done
-- Returns  JSON object as check returns it, with `cursor` ("" when that was all): the dead messages, or those of which all
--          receipts were retried or dropped in this step
-- Refuses  NOT_FOUND, NOT_RECIPIENT, SUPERSEDED, TAKEN, INTERNAL
local me, session, action, limit, cursor, orchestrator = unpack(ARGV)
local FIRST = 7 -- of the ids
local about = { me = me, limit = tonumber(limit), bytes = 0, receipts = 'listed' }
local page = new_page()
local problem = superseded(me, session)
  or problem_of({ zset = { key('dead'), key('pending'), key('deadlines'), key('expired') } })
if problem then return problem end

-- How far the steps before have come: so many messages, and so many recipients of the next one.
local passed, looked = cursor:match('^(%d+) (%d+)$')
passed, looked = tonumber(passed or 0), tonumber(looked or 0)
local ended

if action == 'list' then
  local ids = call('ZRANGE', key('dead'), passed, passed + about.limit)
  for _, id in ipairs(ids) do
    ended = add_to_page(page, id, about)
    if ended then break end
    passed = passed + 1
  end
  touch(me, session)
  return json_page({ more = ended ~= nil, step = ended == 'step', examined = 0,
    cursor = ended == 'step' and passed .. ' 0' or '' }, page)
end

-- Whether the caller may settle a message for everybody; a recipient only for itself.
local function may_settle_all(message)
  return me == message.from or me == orchestrator or me == OPERATOR
end

for i = FIRST, cursor == '' and action == 'settle' and #ARGV or 0 do
  local id = ARGV[i]
  problem = wrong_type('hash', key('msg', id))
  if problem then return problem end
  local message = read_for(me, id)
  local listed = call('ZSCORE', key('pending'), id) or call('ZSCORE', key('dead'), id)
  if not message.to or not listed then
    return refuse('NOT_FOUND', 'message_id is ' .. quoted(id) .. ': nobody is asked for it.',
      'coord check --pending --all shows what is waited for, coord dead list what is dead.')
  elseif not may_settle_all(message) and not is_recipient(me, id, message.to) then
    return refuse('NOT_RECIPIENT', quoted(id) .. ' is for ' .. quoted(message.to) .. ' and from ' .. quoted(message.from or '')
      .. ': ' .. me .. ' is neither.', 'Its sender, its recipient, the orchestrator or operator may drop it.')
  end
end

for i = FIRST, cursor == '' and action ~= 'settle' and #ARGV or 0 do
  local id = ARGV[i]
  -- Of a broadcast that is pending some receipts may be dead, also since a retry of it was interrupted.
  local receipts = try('HGET', key('msg', id), 'dead')
  if not call('ZSCORE', key('dead'), id) and (type(receipts) == 'table' or (whole(receipts) or 0) == 0) then
    return refuse('NOT_FOUND', 'message_id is ' .. quoted(id) .. ': it is not listed as dead.',
      'coord dead list shows those that are.')
  end
  problem = wrong_type('hash', key('msg', id))
  if problem then return problem end
end

-- To change a receipt takes some ten commands, and the message is listed in the same step.
local CHANGED_MAXIMUM = WRITE_MAXIMUM / 2
local read, written = 0, 0

local function change(id, message, name, history, event)
  call('HSET', key('msg', id), 'history:' .. name, history .. (action == 'retry' and ' r' or ' x') .. NOW_TEXT)
  if action ~= 'retry' then
    call('ZREM', key('unread', name), id)
    call('ZREM', key('pending', name), id)
    call('ZREM', key('deadlines'), id .. ' ' .. name)
    try('ZREM', key('paused', name), id)
  else
    call('ZADD', key('unread', name), exact(stamp_of(id) or 0), id)
    call('ZADD', key('deadlines'), deadline_after(whole(message.ack_within) or 0), id .. ' ' .. name)
    announce(name, event)
  end
end

-- Changes the dead receipts of one message behind the first `looked` recipients, until this call has read and written enough, or
-- before one that it cannot write: the next step then begins with it, and refuses. Returns how many it has passed, whether
-- they were all, and the refusal.
local function change_all(id, message)
  local names = recipients_of(id, message.to)
  local event = reminder_event('overdue', id, message)
  local changed, died, at, refusal = 0, 0, looked, nil
  while at < #names and read < READ_MAXIMUM and written < CHANGED_MAXIMUM do
    local name = names[at + 1]
    local history, stored = unpack(call('HMGET', key('msg', id), 'history:' .. name, 'receipt:' .. name))
    local state = read_history(history)
    local open = action == 'settle' and state ~= 'x' and state ~= 'f' and not select(2, read_receipt(stored))
      and (name == me or may_settle_all(message))
    if state == 'd' or open then
      refusal = problem_of({ zset = { key('unread', name), key('pending', name) }, list = { key('notifications', name) } })
      if refusal then break end
      change(id, message, name, history or '', event)
      changed, written, died = changed + 1, written + 1, died + (state == 'd' and 1 or 0)
    end
    read, at = read + 1, at + 1
  end
  if changed > 0 then
    local open, dead, dropped = read_counts(message)
    dead, dropped = math.max(dead - died, 0), dropped + (action ~= 'retry' and changed or 0)
    call('HSET', key('msg', id), 'dead', dead, 'dropped', dropped)
    place(id, open, dead, dropped)
    if action == 'retry' and looked == 0 then call('PUBLISH', key('events'), event) end
  end
  return at, at == #names, refusal
end

about.limit = #ARGV
for i = FIRST + passed, #ARGV do
  local id = ARGV[i]
  local message = read_for(me, id)
  local all = true
  if message and message.to then
    looked, all, problem = change_all(id, message)
    if problem and written == 0 and #page.messages == 0 then return problem end
  else -- it is gone, or nobody can say whom it was for: nobody is waited for
    call('ZREM', key('dead'), id)
  end
  ended = not all or add_to_page(page, id, about)
  if ended then break end
  passed, looked = passed + 1, 0
end
touch(me, session)
return json_page({ more = false, step = ended and true or false, examined = 0,
  cursor = ended and passed .. ' ' .. looked or '' }, page)
