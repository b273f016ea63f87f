#!lua flags=allow-oom
-- Takes an instance out of presence: it is no recipient of broadcasts any more. Its messages stay.
--
-- KEYS     P:meta
-- ARGV     instance
-- Returns  how many messages it still had to acknowledge
-- Refuses  NOT_FOUND, INTERNAL
local instance = unpack(ARGV)
local problem = wrong_type('zset', key('pending', instance))
if problem then return problem end
if redis.call('HDEL', key('presence'), instance) == 0 then
  return refuse('NOT_FOUND', 'No instance ' .. quoted(instance) .. ' has been seen.', 'presence lists the names.')
end
return tostring(redis.call('ZCARD', key('pending', instance)))
