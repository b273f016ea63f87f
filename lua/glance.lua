#!lua flags=allow-oom
-- Whether collect at "tool" would find nothing, as it mostly does: for a hook that would rather not start Node to hear
-- that. In doubt there is something. Where there is nothing, this is the caller's sign of life, as collect would be.
--
-- USES     loans doing
-- KEYS     P:meta
-- ARGV     instance session
--          session: "" where the caller does not know it, and cannot be told from a guest
-- Returns  "NOTHING" or "SOMETHING"
-- Refuses  INTERNAL
local me, session = unpack(ARGV)
local problem = problem_of(mail_keys(me))
if problem then return problem end

local number = ENTRY and ENTRY:match(SESSION_NUMBER)
local left = ENTRY and ENTRY:find(LEFT, 1, true)
if session ~= '' and (left or not is_session(ENTRY, session)) then
  -- A guest is shown nothing, and tries again at its next prompt. Where nobody speaks, there is a session to begin, also
  -- anew where the server of the same run, which was only asked for its tools, has ended it.
  return redis.status_reply(number and not left and 'NOTHING' or 'SOMETHING')
end
if (session == '' and number) or call('ZCARD', key('unread', me))
  + call('LLEN', key('notifications', me)) + call('HLEN', key('loans', me)) > 0 then
  return redis.status_reply('SOMETHING')
end
keep_doing(me, session, 'working') -- it is asked between two tool calls
return redis.status_reply('NOTHING')
