#!lua flags=allow-oom
-- Lists every instance that has been seen.
--
-- KEYS     P:meta
-- ARGV     instance session
-- Returns  Redis' clock in milliseconds, then for each instance its name, presence entry and number of pending messages
-- Refuses  INTERNAL
local me, session = unpack(ARGV)
touch(me, session)
local reply = { exact(math.floor(NOW / 1000)) }
local seen = redis.call('HGETALL', key('presence'))
for i = 1, #seen, 2 do
  local count = redis.pcall('ZCARD', key('pending', seen[i]))
  reply[#reply + 1] = seen[i]
  reply[#reply + 1] = seen[i + 1]
  reply[#reply + 1] = type(count) == 'number' and tostring(count) or ''
end
return reply
