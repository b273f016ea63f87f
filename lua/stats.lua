#!lua flags=allow-oom
-- Counts what the namespace holds.
--
-- KEYS     P:meta
-- ARGV     instance session
-- Returns  total, pending, dead, id and timestamp of the oldest pending message ("" for none), number of types, for each its
--          name and how many were ever published, then for each instance its name and the sizes of its inbox, outbox,
--          pending list, unread list and queue of notifications
-- Refuses  INTERNAL
local me, session = unpack(ARGV)
local problem = wrong_type('zset', key('timeline')) or wrong_type('set', key('pending')) or wrong_type('zset', key('dead'))
if problem then return problem end
touch(me, session)

local pending = redis.call('SCARD', key('pending'))
local oldest
if pending <= EXAMINED_MAXIMUM then
  -- Ids sort like their stamps.
  for _, id in ipairs(redis.call('SMEMBERS', key('pending'))) do
    if not oldest or id < oldest then oldest = id end
  end
else
  for _, id in ipairs(redis.call('ZRANGE', key('timeline'), 0, EXAMINED_MAXIMUM - 1)) do
    oldest = oldest or (redis.call('SISMEMBER', key('pending'), id) == 1 and id) or nil
  end
end
local timestamp = oldest and redis.pcall('HGET', key('msg', oldest), 'timestamp')

local types = {}
local meta = redis.call('HGETALL', KEYS[1])
for i = 1, #meta, 2 do
  local kind = meta[i]:match('^published:(.+)$')
  if kind then
    types[#types + 1] = kind
    types[#types + 1] = whole(meta[i + 1]) and meta[i + 1] or '0'
  end
end

local reply = { tostring(redis.call('ZCARD', key('timeline'))), tostring(pending),
  tostring(redis.call('ZCARD', key('dead'))), oldest or '', type(timestamp) == 'string' and timestamp or '',
  tostring(#types / 2) }
for _, value in ipairs(types) do reply[#reply + 1] = value end
for _, name in ipairs(redis.call('HKEYS', key('presence'))) do
  reply[#reply + 1] = name
  for _, kind in ipairs({ 'inbox', 'outbox', 'pending', 'unread' }) do
    local count = redis.pcall('ZCARD', key(kind, name))
    reply[#reply + 1] = type(count) == 'number' and tostring(count) or '0'
  end
  local queued = redis.pcall('LLEN', key('notifications', name))
  reply[#reply + 1] = type(queued) == 'number' and tostring(queued) or '0'
end
return reply
