#!lua flags=allow-oom
-- Takes an instance out of presence, a step of it: nobody can send to it any more from the first step on, until it is seen
-- again, and what it has not acknowledged is dead and holds nothing up. Its messages stay.
--
-- USES     receipts events
-- KEYS     P:meta
-- ARGV     instance unseen_seconds
--          unseen_seconds: only if it was not seen for so long; "" whenever it was seen
-- Returns  how many messages it had not acknowledged, of this step; "1" when there is more to do; "1" when it was seen since
-- Refuses  NOT_FOUND, INTERNAL
local instance, unseen_seconds = unpack(ARGV)
local NAMES_REMEMBERED = 1000
local pending, paused = key('pending', instance), key('paused', instance)
local problem = problem_of({ zset = { pending, paused, key('forgotten'), key('pending'), key('dead'),
  key('deadlines'), key('expired'), key('paused') } })
if problem then return problem end

local forgotten = redis.call('ZSCORE', key('forgotten'), instance)
if not ENTRY and not forgotten then
  return refuse('NOT_FOUND', 'No instance ' .. quoted(instance) .. ' has been seen.', 'presence lists the names.')
end
local heartbeat = ENTRY and ENTRY:match(HEARTBEAT)
if unseen_seconds ~= '' and heartbeat and heartbeat > iso(NOW - unseen_seconds * 1000000) then return { '0', '0', '1' } end
redis.call('HDEL', key('presence'), instance)
redis.call('ZADD', key('forgotten'), NOW_TEXT, instance)
redis.call('ZREMRANGEBYRANK', key('forgotten'), 0, -NAMES_REMEMBERED - 1)

local ids = redis.call('ZRANGE', pending, 0, WRITE_MAXIMUM - 1)
for _, id in ipairs(ids) do
  local message = read_for(instance, id)
  redis.call('ZREM', pending, id)
  redis.call('ZREM', paused, id)
  redis.call('ZREM', key('deadlines'), id .. ' ' .. instance)
  if message and message.to then
    local open, dead, dropped = read_counts(message)
    if read_history(message.history) == 'd' then dead = math.max(dead - 1, 0) end
    redis.call('HSET', key('msg', id), 'dead', dead, 'dropped', dropped + 1, 'history:' .. instance,
      (message.history and message.history .. ' ' or '') .. 'f' .. NOW_TEXT)
    place(id, open, dead, dropped + 1)
    tell_sender(id, message, reminder_event('dead', id, message, { instance }))
  end
end
local more = #ids == WRITE_MAXIMUM
if not more then
  redis.call('UNLINK', paused)
  redis.call('ZREM', key('paused'), instance)
end
return { tostring(#ids), more and '1' or '0', '0' }
