#!lua flags=allow-oom
-- Keeps the caller's presence.
--
-- KEYS     P:meta
-- ARGV     instance
-- Returns  "OK"
-- Refuses  INTERNAL
local me = unpack(ARGV)
touch(me)
return redis.status_reply('OK')
