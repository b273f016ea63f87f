#!lua flags=allow-oom
-- One page of all that a namespace holds, apart from what only a running session has. Each message is read in one step
-- with all that is known of it, so that what is published meanwhile is exported whole or not at all.
--
-- USES     receipts leases
-- KEYS     P:meta
-- ARGV     instance session part cursor limit
--          part: "head"; "messages", oldest first, after the score cursor ("" from the first on); "queue" of the instance
--          cursor; "keys" by which publishes are repeated, from the SCAN cursor
-- Returns  head: fields and values of P:meta, then of P:presence, as two lists; messages: the next cursor ("" at the end),
--          then for each that can be read its id, its fields and values, and for whom it is new; queue: its events; keys: the
--          next cursor, then instance, key, message id, seconds
-- Refuses  INTERNAL
local me, session, part, cursor, limit = unpack(ARGV)
local problem = wrong_type('zset', key('timeline')) or wrong_type('list', key('notifications', cursor))
  or wrong_type('hash', key('leases', cursor))
if problem then return problem end
touch(me, session)

if part == 'head' then
  return { redis.call('HGETALL', KEYS[1]), redis.call('HGETALL', key('presence')) }
end

if part == 'messages' then
  local ids = redis.call('ZRANGE', key('timeline'), cursor == '' and '-inf' or '(' .. cursor, '+inf', 'BYSCORE',
    'LIMIT', 0, limit, 'WITHSCORES')
  local reply = { ids[#ids] or '' }
  for i = 1, #ids, 2 do
    local id = ids[i]
    local known = redis.pcall('HMGET', key('msg', id), 'from', 'to')
    if not known.err and known[1] and known[2] and stamp_of(id) then
      local new = {}
      for _, name in ipairs(recipients_of(id, known[2])) do
        local score = redis.pcall('ZSCORE', key('unread', name), id)
        if type(score) == 'string' then new[#new + 1] = name end
      end
      reply[#reply + 1] = { id, redis.call('HGETALL', key('msg', id)), new }
    end
  end
  return reply
end

if part == 'queue' then
  -- What is lent to a reader right now has not reached it yet.
  local events = {}
  local leases = redis.call('HGETALL', key('leases', cursor))
  for i = 2, #leases, 2 do
    for _, event in ipairs(lent_events(leases[i]:match('^%d+ (.*)$'))) do events[#events + 1] = event end
  end
  for _, event in ipairs(redis.call('LRANGE', key('notifications', cursor), 0, -1)) do events[#events + 1] = event end
  return events
end

local pattern = key('once'):gsub('[%*%?%[%]\\]', '\\%0') .. ':'
local scanned = redis.call('SCAN', cursor, 'MATCH', pattern .. '*', 'COUNT', limit)
local reply = { scanned[1] }
for _, name in ipairs(scanned[2]) do
  local instance, repeated = name:sub(#key('once') + 2):match('^([^:]*):(.*)$')
  local id = redis.pcall('GET', name)
  if instance and type(id) == 'string' then
    for _, value in ipairs({ instance, repeated, id, tostring(redis.call('TTL', name)) }) do reply[#reply + 1] = value end
  end
end
return reply
