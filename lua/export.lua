#!lua flags=allow-oom
-- One page of all that a namespace holds, apart from what only a running session has. Each message is read in one step
-- with all that is known of it, so that what is published meanwhile is exported whole or not at all.
--
-- USES     recipients loans
-- KEYS     P:meta
-- ARGV     instance session part cursor
--          part: "head" and "presence", from the HSCAN cursor; "messages", oldest first, after the score cursor ("" from the
--          first on); "queue" of the instance cursor; "keys" by which publishes are repeated, from the SCAN cursor
-- Returns  head: fields and values of P:meta; presence: the next cursor ("0" at the end), then names and entries; messages:
--          the next cursor ("" at the end), then for each that can be read its id, its fields and values, and for whom it is new;
--          queue: its events; keys: the next cursor, then instance, key, message id, seconds
-- Refuses  INTERNAL
local me, session, part, cursor = unpack(ARGV)
local EXPORTED_MESSAGES, EXPORTED_BYTES = 100, 1048576
local SCANNED = 1000 -- instances, or keys of the whole database
local problem = problem_of({ zset = { key('timeline') }, list = { key('notifications', cursor) },
  hash = { key('loans', cursor) } })
if problem then return problem end
touch(me, session)

if part == 'head' then return call('HGETALL', KEYS[1]) end

if part == 'presence' then
  local scanned = call('HSCAN', key('presence'), cursor, 'COUNT', SCANNED)
  return { scanned[1], unpack(scanned[2]) }
end

if part == 'messages' then
  local ids = call('ZRANGE', key('timeline'), cursor == '' and '-inf' or '(' .. cursor, '+inf', 'BYSCORE',
    'LIMIT', 0, EXPORTED_MESSAGES, 'WITHSCORES')
  local reply = { '' }
  local read, bytes = 0, 0
  local unread = key('unread', '') -- once: see presence.lua
  for i = 1, #ids, 2 do
    local id = ids[i]
    local known = try('HMGET', key('msg', id), 'from', 'to', 'total', 'description')
    if not known.err and known[1] and known[2] and stamp_of(id) then
      read = read + (whole(known[3]) or 0) + call('HLEN', key('msg', id))
      bytes = bytes + #(known[4] or '')
      if i > 1 and (read > READ_MAXIMUM or bytes > EXPORTED_BYTES) then return reply end
      local new = {}
      for _, name in ipairs(recipients_of(id, known[2])) do
        local score = try('ZSCORE', unread .. name, id)
        if type(score) == 'string' then new[#new + 1] = name end
      end
      reply[#reply + 1] = { id, call('HGETALL', key('msg', id)), new }
    end
    reply[1] = ids[i + 1]
  end
  if #ids < 2 * EXPORTED_MESSAGES then reply[1] = '' end
  return reply
end

if part == 'queue' then
  -- What is lent to a reader right now has not reached it yet.
  local events = {}
  local loans = call('HGETALL', key('loans', cursor))
  for i = 2, #loans, 2 do
    for _, event in ipairs(loaned_events(loans[i]:match('^%d+ (.*)$'))) do events[#events + 1] = event end
  end
  local queued = call('LRANGE', key('notifications', cursor), 0, QUEUE_EVENTS_MAXIMUM - 1)
  for _, event in ipairs(queued) do events[#events + 1] = event end
  return events
end

local pattern = key('once'):gsub('[%*%?%[%]\\]', '\\%0') .. ':'
local scanned = call('SCAN', cursor, 'MATCH', pattern .. '*', 'COUNT', SCANNED)
local reply = { scanned[1] }
for _, name in ipairs(scanned[2]) do
  local instance, repeated = name:sub(#key('once') + 2):match('^([^:]*):(.*)$')
  local id = try('GET', name)
  if instance and type(id) == 'string' then
    for _, value in ipairs({ instance, repeated, id, tostring(call('TTL', name)) }) do reply[#reply + 1] = value end
  end
end
return reply
