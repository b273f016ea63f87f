#!lua flags=allow-oom
-- Counts what the namespace holds; of the instances a page of them.
--
-- KEYS     P:meta
-- ARGV     instance session cursor
--          cursor: as the page before returned it, "0" at first
-- Returns  JSON object: cursor ("0" at the end), total, pending, dead, oldest_pending (id and timestamp, where there is one),
--          by_type (how many of each were ever published), instances (by name the sizes of inbox, outbox, pending list, unread
--          list and queue of notifications, and when its oldest pending message was sent)
-- Refuses  INTERNAL
local me, session, cursor = unpack(ARGV)
local INSTANCES = READ_MAXIMUM / 10 -- of each five sizes are read, and written into the answer
local problem = problem_of({ zset = { key('timeline'), key('pending'), key('dead') } })
if problem then return problem end
touch(me, session)

local stats = { total = call('ZCARD', key('timeline')), pending = call('ZCARD', key('pending')),
  dead = call('ZCARD', key('dead')) }
local oldest = call('ZRANGE', key('pending'), 0, 0)[1]
if oldest then
  local timestamp = try('HGET', key('msg', oldest), 'timestamp')
  stats.oldest_pending = { id = oldest, timestamp = type(timestamp) == 'string' and timestamp or '' }
end

local meta = call('HGETALL', KEYS[1])
for i = 1, #meta, 2 do
  local kind = meta[i]:match('^published:(.+)$')
  if kind then
    stats.by_type = stats.by_type or {}
    stats.by_type[kind] = whole(meta[i + 1]) or 0
  end
end

local scanned = call('HSCAN', key('presence'), cursor, 'COUNT', INSTANCES)
stats.cursor = scanned[1]
for i = 1, #scanned[2], 2 do
  local name, sizes = scanned[2][i], {}
  for _, kind in ipairs({ 'inbox', 'outbox', 'pending', 'unread' }) do
    local count = try('ZCARD', key(kind, name))
    sizes[kind] = type(count) == 'number' and count or 0
  end
  local queued = try('LLEN', key('notifications', name))
  sizes.notifications = type(queued) == 'number' and queued or 0
  local debt = sizes.pending > 0 and whole(call('ZRANGE', key('pending', name), 0, 0, 'WITHSCORES')[2])
  if debt then sizes.oldest_pending = iso(debt) end
  stats.instances = stats.instances or {}
  stats.instances[name] = sizes
end
return cjson.encode(stats)
