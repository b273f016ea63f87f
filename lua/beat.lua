#!lua flags=allow-oom
-- The heartbeat of a session, which never revives one that has left.
--
-- USES     doing
-- KEYS     P:meta
-- ARGV     instance session activity doing
--          activity: one line for presence, from a command as well; "" is a heartbeat, a line break removes the line; doing: what
--          the agent does from now on, "" as before
-- Returns  "1", or "0" when the session is not known any more (its instance was forgotten) and has to join again
-- Refuses  SUPERSEDED, TAKEN, INTERNAL
local me, session, activity, doing = unpack(ARGV)
local problem = superseded(me, session)
if problem then return problem end
local current = session_of(ENTRY)
-- To say what one does is no heartbeat of a session that left, nor is a beat of what its agent has left behind.
local left = ENTRY and ENTRY:find(LEFT, 1, true) and current.number and true or false
if activity ~= '' then
  current.activity = activity ~= '\n' and activity or nil
  keep_entry(me, presence_entry(left, next(current) and cjson.encode(current) or '{}'))
  return '1'
end
if not current.number then return '0' end
if doing ~= '' then keep_doing(me, session, doing) return '1' end
if not left then keep_entry(me, presence_entry(false, cjson.encode(current))) end
return '1'
