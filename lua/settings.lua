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
  -- What was stored before nobody could prove.
  if name == 'senders' then call('HSET', KEYS[1], 'senders_since', exact(math.max(NOW, whole(META.stamp) or 0))) end
end
local reply, senders = {}, META.senders or 'off'
for i = 1, #first, 2 do
  if first[i] == 'senders' then
    senders = META.senders or (META.protocol and 'off') or first[i + 1]
  else
    local stored = call('HGET', KEYS[1], first[i])
    reply[#reply + 1] = first[i]
    reply[#reply + 1] = setting(first[i], stored) and stored or first[i + 1]
  end
end
reply[#reply + 1] = 'senders'
reply[#reply + 1] = name == 'senders' and value or senders
return reply
