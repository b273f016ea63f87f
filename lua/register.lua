#!lua flags=allow-oom
-- Makes an instance known before it starts, so that broadcasts reach it: offline, unless it has been seen already.
--
-- KEYS     P:meta
-- ARGV     instance
-- Returns  "1" when it was not known
-- Refuses  INTERNAL
local instance = unpack(ARGV)
return tostring(redis.call('HSETNX', key('presence'), instance, presence_entry(true, '{}')))
