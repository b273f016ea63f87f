#!lua flags=allow-oom
-- Makes an instance known before it starts, so that broadcasts reach it: offline, unless it has been seen already.
--
-- KEYS     P:meta
-- ARGV     instance
-- Returns  "1" when it was not known
-- Refuses  INTERNAL
local instance = unpack(ARGV)
if ENTRY then return '0' end
keep_entry(instance, presence_entry(true, '{}'))
return '1'
