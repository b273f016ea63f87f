#!lua flags=allow-oom
-- Makes one background waiter the only one of its session; the one before it is told, and ends.
--
-- KEYS     P:meta
-- ARGV     instance session waiter seconds
--          waiter: its token; "" sends the present one away without a new one
-- Returns  "OK"
-- Refuses  SUPERSEDED, INTERNAL
local me, session, waiter, seconds = unpack(ARGV)
local problem = superseded(me, session)
if problem then return problem end
if waiter == '' then
  redis.call('DEL', key('waiter', me))
else
  redis.call('SET', key('waiter', me), waiter, 'EX', seconds)
end
redis.call('PUBLISH', key('notify', me), '{"event":"waiter_changed","waiter":' .. cjson.encode(waiter) .. '}')
return redis.status_reply('OK')
