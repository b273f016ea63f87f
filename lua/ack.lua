#!lua flags=allow-oom
-- Acknowledges messages for the caller, each on its own (G5), and tells their senders.
--
-- USES     receipts events
-- KEYS     P:meta
-- ARGV     instance session comment message_id…
-- Returns  for each id five strings: "OK", time in microseconds, already, comment of the first time, ""; or the code of
--          the refusal, sentence, hint, "", ""
-- Refuses  SUPERSEDED, INTERNAL; for one id NOT_FOUND, NOT_RECIPIENT, INTERNAL
local me, session, comment = unpack(ARGV)

local function refusal(code, sentence, hint)
  return { code, sentence, hint, '', '' }
end

local function settle_for_me(id)
  local asked = read_asked(id, me)
  if asked.err then
    return refusal('INTERNAL', key('msg', id) .. ' holds another type than a message.',
      'Something else writes into this namespace: rename that key.')
  end
  local from, to, kind, subject = unpack(asked)
  if not (from and to) then
    return refusal('NOT_FOUND', 'message_id is ' .. quoted(id) .. ': no such message is stored.',
      'List messages with check and copy the id from there.')
  end
  if not is_recipient(me, id, to) then
    return refusal('NOT_RECIPIENT', 'message_id is ' .. quoted(id) .. ': it is addressed to '
      .. (to == 'all' and 'those who were known when it was sent' or to) .. ', not to ' .. me .. '.',
      'Acknowledge only your own messages; check lists them.')
  end
  local problem = acknowledge_problem(me, asked)
  if problem then
    local sentence, hint = problem.err:match('^%S+ (.*)\t(.*)$')
    return refusal('INTERNAL', sentence or problem.err, hint or '')
  end
  local time, already, first_comment = acknowledge(me, id, asked, comment)
  if not already then
    local event = acknowledged_event(id, kind or '', me, from, subject or '', comment)
    announce(from, event)
    redis.call('PUBLISH', key('events'), event)
  end
  return { 'OK', time, already and '1' or '0', first_comment, '' }
end

local problem = superseded(me, session) or wrong_type('zset', key('inbox', me))
if problem then return problem end
local reply = {}
for i = 4, #ARGV do
  for _, value in ipairs(settle_for_me(ARGV[i])) do reply[#reply + 1] = value end
end
touch(me, session)
return reply
