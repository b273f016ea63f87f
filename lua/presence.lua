#!lua flags=allow-oom
-- Lists instances that have been seen, a page of them.
--
-- USES     doing
-- KEYS     P:meta
-- ARGV     instance session cursor
--          cursor: as the page before returned it, "0" at first
-- Returns  the presence entry of each instance; then one JSON list: the next cursor ("0" at the end), Redis' clock in
--          milliseconds, who is idle and woken by nobody (names, separated by spaces), and in the same order the name of each
--          instance and its number of pending messages
-- Refuses  INTERNAL
local me, session, cursor = unpack(ARGV)
touch(me, session)
local scanned = call('HSCAN', key('presence'), cursor, 'COUNT', READ_MAXIMUM)
local seen = scanned[2]
local reply, about, asleep = {}, { scanned[1], exact(math.floor(NOW / 1000)), '' }, {}
local pending = key('pending', '') -- once: for each instance it took 6 % of the script
for i = 1, #seen / 2 do
  local name = seen[2 * i - 1]
  local count = try('ZCARD', pending .. name)
  reply[i], about[2 * i + 2], about[2 * i + 3] = seen[2 * i], name, type(count) == 'number' and count or 0
  if is_asleep(name, seen[2 * i]) then asleep[#asleep + 1] = name end
end
about[3] = table.concat(asleep, ' ')
-- In one string: with one for each name and number, 1,000 instances took .5 ms more on their way to the client.
reply[#reply + 1] = cjson.encode(about)
return reply
