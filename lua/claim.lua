#!lua flags=allow-oom
-- Claims the telling of one thing for a notifier of a person: of several that would tell it, one does, and once.
--
-- KEYS     P:meta
-- ARGV     instance session notifier thing seconds told
--          thing: its digest; seconds: for how long; told: "1" by who had claimed it, once it was told
-- Returns  "OK"; "GONE" where somebody else has claimed it, or told it
-- Refuses  INTERNAL
local me, session, notifier, thing, seconds, told = unpack(ARGV)
touch(me, session)
local claimed = told == '1' and call('SET', key('claim', notifier) .. ':' .. thing, told, 'EX', seconds)
  or call('SET', key('claim', notifier) .. ':' .. thing, told, 'EX', seconds, 'NX')
return redis.status_reply(claimed and 'OK' or 'GONE')
