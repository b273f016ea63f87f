-- The brake for agents, which answer whatever they are sent: two that thank each other for ever, one that sends in a loop. It
-- never concerns programs, people and plain shells.

local SHORT_CHARACTERS = 200
local ASKS_FOR_WORK = { READY_FOR_REVIEW = true, REVIEW_FAILED = true, CONTRACT_CHANGE_PROPOSED = true,
  META_CHANGE_REQUEST = true } -- the same as in protocol.json (a test compares them)

local function is_chatter(kind, description)
  return not ASKS_FOR_WORK[kind] and select(2, description:gsub('[^\128-\191]', '')) < SHORT_CHARACTERS
end

local function loop_setting(name)
  return setting(name, call('HGET', KEYS[1], name)) or tonumber(SETTING_BOUNDS[name]:match('%d+$'))
end

-- In how many seconds a stamp is older than the time that loops are judged by.
local function seconds_until_past(stamp, seconds)
  return math.max(1, math.ceil(stamp / 1000000 + seconds - NOW / 1000000))
end

-- Whether a message counts towards too many: not where it answers one that asked for it, nor once it is acknowledged.
local function is_unasked(id, to)
  local values = try('HMGET', key('msg', id), 'to', 'reply_to', 'receipt:' .. to, 'open')
  if values.err or values[1] ~= to then return false end
  local acknowledged = to == 'all' and whole(values[4]) == 0 or select(2, read_receipt(values[3]))
  return not acknowledged and not (values[2] and try('HGET', key('msg', values[2]), 'requires_ack') == '1')
end

-- How long a sender has to wait that has sent one recipient as much as it may in a while; nil where it need not.
local function waits_for_many(me, to, seconds)
  local maximum = loop_setting('loop_messages')
  if maximum == 0 then return nil end
  local since = '(' .. exact(NOW - seconds * 1000000)
  local recent = call('ZRANGE', key('outbox', me), '+inf', since, 'BYSCORE', 'REV', 'LIMIT', 0, READ_MAXIMUM / 2, 'WITHSCORES')
  if #recent < 2 * maximum then return nil end
  local counted = 0
  for i = 1, #recent, 2 do
    if is_unasked(recent[i], to) then counted = counted + 1 end
    if counted == maximum then return seconds_until_past(tonumber(recent[i + 1]), seconds), maximum end
  end
  return nil
end

-- How long a sender has to wait before it goes on with a conversation in which two have said nothing but short things, each in
-- turn, for so many messages; nil where it need not.
local function waits_for_chatter(me, to, root, seconds)
  local maximum = loop_setting('loop_replies')
  if maximum == 0 then return nil end
  local last = call('ZRANGE', key('thread', root), -maximum, -1, 'WITHSCORES')
  if #last < 2 * maximum then return nil end
  local from, answered = to, me
  for i = #last - 1, 1, -2 do
    local values = try('HMGET', key('msg', last[i]), 'from', 'to', 'type', 'description')
    if values.err or values[1] ~= from or values[2] ~= answered or not is_chatter(values[3], values[4] or '') then
      return nil
    end
    from, answered = answered, from
  end
  local newest = tonumber(last[#last])
  return newest > NOW - seconds * 1000000 and seconds_until_past(newest, seconds) or nil, maximum
end

-- Its recipient and the operator learn it once in that time; the sender hears it each time.
local function tell_of_brake(me, to, seconds)
  if not call('SET', key('braked', me) .. ':' .. to, '1', 'NX', 'EX', seconds) then return end
  local event = '{"event":"sender_braked","from":"' .. me .. '","to":"' .. to .. '","timestamp":"' .. NOW_ISO .. '"}'
  for _, name in ipairs({ to, to ~= OPERATOR and OPERATOR or nil }) do
    local known = call('HEXISTS', key('presence'), name) == 1
    if known and not wrong_type('list', key('notifications', name)) then announce(name, event) end
  end
  call('PUBLISH', key('events'), event)
end

-- The refusal of a message by which an agent would go on in a loop; nil where it would not.
local function brake(me, to, kind, description, root)
  local seconds = loop_setting('loop_seconds')
  local wait, count = waits_for_many(me, to, seconds)
  local sentence, hint
  if wait then
    sentence = 'You have sent ' .. to .. ' ' .. count .. ' messages in ' .. seconds
      .. ' seconds that nobody asked for or acknowledged.'
    hint = 'Put what is left into one message, and send it in ' .. wait .. ' seconds or when some are acknowledged.'
  elseif root and is_chatter(kind, description) then
    wait, count = waits_for_chatter(me, to, root, seconds)
    sentence = wait and 'You and ' .. to .. ' have exchanged ' .. count .. ' short messages in turn, and this would be the next.'
    hint = 'If nothing is left to be done, stop: coord_ack_message settles without an answer. Else say all of it in one message '
      .. 'of ' .. SHORT_CHARACTERS .. ' characters or more.'
  end
  if not wait then return nil end
  tell_of_brake(me, to, seconds)
  return refuse('LOOP', sentence, hint .. '\t' .. wait)
end
