#!lua flags=allow-oom
-- Says that what was handed out has reached the agent: its events never come again, its messages are presented.
--
-- USES     messages events
-- KEYS     P:meta
-- ARGV     instance session lease shown message_id…
--          lease: "" where no events were handed out; shown: how many of the ids were shown, the rest is only given back
-- Returns  "OK"; also when the lease had run out, since then it comes again anyway
-- Refuses  SUPERSEDED, INTERNAL
local me, session, lease, shown = unpack(ARGV)
local problem = superseded(me, session) or event_problem(me)
if problem then return problem end

redis.call('HDEL', key('leases', me), lease)
local presented = {}
for i = 5, #ARGV do
  local id = ARGV[i]
  redis.call('ZREM', key('leased', me), id)
  -- Acknowledged, or shown by another surface, in the meantime: the first time counts.
  if i - 4 <= tonumber(shown) and redis.call('ZSCORE', key('unread', me), id) then presented[#presented + 1] = id end
end
mark_presented(me, presented)
touch(me, session)
return redis.status_reply('OK')
