#!lua flags=allow-oom
-- Keeps the caller's presence.
--
-- KEYS     P:meta
-- ARGV     instance session
-- Returns  "OK"
-- Refuses  INTERNAL
local me, session = unpack(ARGV)
touch(me, session)
return redis.status_reply('OK')
