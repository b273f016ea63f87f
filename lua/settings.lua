#!lua flags=allow-oom
-- The settings that act on everyone, and a change of one of them.
--
-- USES     retention
-- KEYS     P:meta
-- ARGV     instance session name value retention_days max_messages ack_attempts ack_interval_seconds presence_timeout_seconds
--          name: "" changes nothing; the last five are those of a namespace that has none yet
-- Returns  name and value of each
-- Refuses  INTERNAL
local me, session, name, value = unpack(ARGV)
touch(me, session)
local first = first_settings(5)
if name ~= '' then
  if not META[1] then redis.call('HSET', KEYS[1], 'protocol', PROTOCOL_VERSION, unpack(first)) end
  redis.call('HSET', KEYS[1], name, value)
end
local reply = {}
for i = 1, #first, 2 do
  reply[i] = first[i]
  local stored = redis.call('HGET', KEYS[1], first[i])
  reply[i + 1] = setting(first[i], stored) and stored or first[i + 1]
end
return reply
