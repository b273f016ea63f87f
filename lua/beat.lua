#!lua flags=allow-oom
-- The heartbeat of a session: it lives, also when another surface of it has said that it ended.
--
-- KEYS     P:meta
-- ARGV     instance session activity
--          activity: one line for presence, "" leaves it as it is, "-" removes it
-- Returns  "1", or "0" when the session is not known any more (its instance was forgotten) and has to join again
-- Refuses  SUPERSEDED, INTERNAL
local me, session, activity = unpack(ARGV)
local problem = superseded(me, session)
if problem then return problem end
local current = session_of(ENTRY)
if not current.number then return '0' end
if activity ~= '' then current.activity = activity ~= '-' and activity or nil end
redis.call('HSET', key('presence'), me, presence_entry(false, cjson.encode(current)))
return '1'
