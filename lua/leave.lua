#!lua flags=allow-oom
-- Ends a session properly: offline at once. The end of a superseded one changes nothing.
--
-- KEYS     P:meta
-- ARGV     instance session
-- Returns  "OK"
-- Refuses  INTERNAL
local me, session = unpack(ARGV)
if ENTRY and session ~= '' and speaks(ENTRY, session) and not ENTRY:find(LEFT, 1, true) then
  call('HSET', key('presence'), me, (ENTRY:gsub('"left":false', '"left":true', 1)))
  call('PUBLISH', key('notify', me), '{"event":"session_left"}')
  call('PUBLISH', key('events'), '{"event":"instance_left","from":"' .. me .. '","timestamp":"' .. NOW_ISO .. '"}')
end
return redis.status_reply('OK')
