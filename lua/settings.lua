#!lua flags=allow-oom
-- The settings that act on everyone, and a change of one of them.
--
-- USES     settings
-- KEYS     P:meta
-- ARGV     instance session name value settings
--          name: "" changes nothing; settings: those of a namespace that has none yet, see parts/settings.lua
-- Returns  name and value of each
-- Refuses  INTERNAL
local me, session, name, value, settings = unpack(ARGV)
touch(me, session)
local first = first_settings(settings)
if name ~= '' then
  if not META.protocol then call('HSET', KEYS[1], 'protocol', PROTOCOL_VERSION, unpack(first)) end
  call('HSET', KEYS[1], name, value)
end
local reply = {}
for i = 1, #first, 2 do
  reply[i] = first[i]
  local stored = call('HGET', KEYS[1], first[i])
  reply[i + 1] = setting(first[i], stored) and stored or first[i + 1]
end
return reply
