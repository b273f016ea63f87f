#!lua flags=allow-oom
-- Ends a session properly: offline at once. The end of one server ends only a session that has no other surface; the end of
-- a guest, or of a superseded session, changes nothing for who speaks.
--
-- USES     sessions
-- KEYS     P:meta
-- ARGV     instance session server run
--          server: the one that ends, "" where the session does; run: as in join, "" where it may be no guest
-- Returns  "OK"
-- Refuses  INTERNAL
local me, session, server, run = unpack(ARGV)
local current = session_of(ENTRY)
local guest = current.guests and current.guests[run]
-- A guest that a hook has asked for stays one when its server ends: the next server would take the name behind its back.
if guest and not (server ~= '' and guest.hook) then
  current.guests[run] = nil
  current.guests = next(current.guests) and current.guests or nil
  keep_session(me, ENTRY, current)
end
if session == '' or not is_session(ENTRY, session) or ENTRY:find(LEFT, 1, true) then return redis.status_reply('OK') end

current.servers = server ~= '' and renewed(current.servers, server) or nil
if server ~= '' and not current.servers then current.channel = nil end -- it rang for this server
local goes_on = server ~= '' and (current.hooks or current.servers)
local heartbeat = ENTRY:match(HEARTBEAT)
call('HSET', key('presence'), me, presence_entry(not goes_on, cjson.encode(current), heartbeat))
if goes_on then return redis.status_reply('OK') end
call('PUBLISH', key('notify', me), '{"event":"session_left"}')
call('PUBLISH', key('events'), '{"event":"instance_left","from":"' .. me .. '","timestamp":"' .. NOW_ISO .. '"}')
return redis.status_reply('OK')
