#!lua flags=allow-oom
-- Acknowledges messages for the caller, each on its own (G5), and tells their senders.
--
-- USES     recipients receipts events seals
-- KEYS     P:meta
-- ARGV     instance session comment message_id…
-- Returns  for each id a JSON object: timestamp, already, and of the first time comment where there was one, outside where that
--          came from outside of the agent's session; or code, error, hint
-- Refuses  IDENTITY, SUPERSEDED, TAKEN, INTERNAL; for one id NOT_FOUND, NOT_RECIPIENT, INTERNAL
local me, session, comment = unpack(ARGV)
local problem = superseded(me, session) or (SEALS and SEALS.problem(me)) or problem_of(acknowledge_keys(me))
if problem then return problem end

local function refusal(code, sentence, hint)
  return cjson.encode({ code = code, error = sentence, hint = hint })
end

-- What is wrong with acknowledging one message, as a refusal; nil where nothing is.
local function refusal_of(id, message)
  if not message then
    return refusal('INTERNAL', key('msg', id) .. ' holds another type than a message.',
      'Something else writes into this namespace: rename that key.')
  end
  if not (message.from and message.to) then
    return refusal('NOT_FOUND', 'message_id is ' .. quoted(id) .. ': no such message is stored.',
      'List messages with check and copy the id from there.')
  end
  local foreign = wrong_type('list', key('notifications', message.from)) or (message.dead and wrong_type('zset', key('dead')))
    or (message.to == 'all' and wrong_type('zset', key('inbox', me)))
  if foreign then return refusal('INTERNAL', foreign.err:match('^%S+ (.*)\t(.*)$')) end
  if is_recipient(me, id, message.to) then return nil end
  return refusal('NOT_RECIPIENT', 'message_id is ' .. quoted(id) .. ': it is addressed to '
    .. (message.to == 'all' and 'those who were known when it was sent' or message.to) .. ', not to ' .. me .. '.',
    'Acknowledge only your own messages; check lists them.')
end

-- A command beside the session that speaks: the agent knows nothing of it.
local outside = looks('look', session) and not ENTRY:find(LEFT, 1, true)
local reply = {}
for i = 4, #ARGV do
  local id = ARGV[i]
  local message = read_for(me, id)
  local answer = refusal_of(id, message)
  if not answer then
    local time, already, first_comment, first_outside = acknowledge(me, id, message, comment, outside)
    if not already then
      if SEALS then SEALS.seal_receipt(me, id, time, comment, outside) end
      local event = acknowledged_event(id, message, me, comment, outside)
      announce(message.from, event)
      call('PUBLISH', key('events'), event)
    end
    -- Put together by hand, as events are: this is what most calls return.
    answer = '{"timestamp":' .. cjson.encode(already and shown_time(time) or NOW_ISO) .. ',"already":' .. tostring(already)
      .. (first_comment ~= '' and ',"comment":' .. cjson.encode(first_comment) or '')
      .. (first_outside and ',"outside":true' or '') .. '}'
  end
  reply[#reply + 1] = answer
end
touch(me, session)
return reply
