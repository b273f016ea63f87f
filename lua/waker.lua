#!lua flags=allow-oom
-- Makes one background waker the only one of its session; the one before it is told, and ends.
--
-- KEYS     P:meta
-- ARGV     instance session waker seconds
--          waker: its token; "" sends the present one away without a new one
-- Returns  "OK"
-- Refuses  SUPERSEDED, TAKEN, INTERNAL
local me, session, waker, seconds = unpack(ARGV)
local problem = superseded(me, session)
if problem then return problem end
if waker == '' then
  call('DEL', key('waker', me))
else
  call('SET', key('waker', me), waker, 'EX', seconds)
end
call('PUBLISH', key('notify', me), '{"event":"waker_changed","waker":' .. cjson.encode(waker) .. '}')
return redis.status_reply('OK')
