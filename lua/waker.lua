#!lua flags=allow-oom
-- Makes one background waker the only one of its session; the one before it is told, and ends. A place is kept for a waker that
-- looks every now and then: collect renews it.
--
-- USES     doing
-- KEYS     P:meta
-- ARGV     instance session waker again
--          waker: its token; "" sends the present one away without a new one; again: "1" where it had the place and lost it
-- Returns  "OK"; "GONE" where it is not to have it again, since another waker has it, or the session works or has ended
-- Refuses  SUPERSEDED, TAKEN, INTERNAL
local me, session, waker, again = unpack(ARGV)
local problem = superseded(me, session)
if problem then return problem end
local post = key('waker', me)
if again == '1' then
  local held = try('GET', post)
  -- A prompt has sent it away, which it may have missed.
  local works = ENTRY and ENTRY:find('"doing":"', 1, true) and not ENTRY:find('"doing":"idle"', 1, true)
  if (held and held ~= waker) or works or (ENTRY and ENTRY:find(LEFT, 1, true)) then return redis.status_reply('GONE') end
end
if waker == '' then
  call('DEL', post)
else
  call('SET', post, waker, 'EX', WAKER_SECONDS)
end
call('PUBLISH', key('notify', me), '{"event":"waker_changed","waker":' .. cjson.encode(waker) .. '}')
return redis.status_reply('OK')
