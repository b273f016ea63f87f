#!lua flags=allow-oom
-- Lists instances that have been seen, a page of them.
--
-- USES     doing
-- KEYS     P:meta
-- ARGV     instance session cursor
--          cursor: as the page before returned it, "0" at first
-- Returns  the presence entry of each instance; then one JSON object: cursor (of the next page, "0" at the end), now (Redis'
--          clock in milliseconds), asleep (who is idle and woken by nobody: names, separated by spaces), and in the order of the
--          entries names and pending (how many messages)
-- Refuses  INTERNAL
local me, session, cursor = unpack(ARGV)
touch(me, session)
local scanned = call('HSCAN', key('presence'), cursor, 'COUNT', READ_MAXIMUM)
local seen = scanned[2]
local reply, names, counts, asleep = {}, {}, {}, {}
local pending = key('pending', '') -- once: for each instance it took 6 % of the script
for i = 1, #seen / 2 do
  local name = seen[2 * i - 1]
  local count = try('ZCARD', pending .. name)
  reply[i], names[i], counts[i] = seen[2 * i], name, type(count) == 'number' and count or 0
  if is_asleep(name, seen[2 * i]) then asleep[#asleep + 1] = name end
end
-- In one string: with one for each name and number, 1,000 instances took .5 ms more on their way to the client.
reply[#reply + 1] = cjson.encode({ cursor = scanned[1], now = exact(math.floor(NOW / 1000)), asleep = table.concat(asleep, ' '),
  names = #names > 0 and names or nil, pending = #names > 0 and counts or nil })
return reply
