#!lua flags=allow-oom
-- Takes an instance out of presence, a step of it: nobody can send to it any more from the first step on, until it is seen
-- again, and what it has not acknowledged is dead and holds nothing up. Its messages stay.
--
-- USES     receipts events
-- KEYS     P:meta
-- ARGV     instance unseen_seconds
--          unseen_seconds: only if it was not seen for so long; "" whenever it was seen
-- Returns  JSON object: pending (how many messages it had not acknowledged, of this step), more (there is more to do), seen (it
--          was seen since, and stays)
-- Refuses  NOT_FOUND, INTERNAL
local instance, unseen_seconds = unpack(ARGV)
local NAMES_REMEMBERED = 1000
local pending, paused = key('pending', instance), key('paused', instance)
local problem = problem_of({ zset = { pending, paused, key('forgotten'), key('pending'), key('dead'),
  key('deadlines'), key('expired'), key('paused') } })
if problem then return problem end

local forgotten = call('ZSCORE', key('forgotten'), instance)
if not ENTRY and not forgotten then
  return refuse('NOT_FOUND', 'No instance ' .. quoted(instance) .. ' has been seen.', 'presence lists the names.')
end
local heartbeat = ENTRY and ENTRY:match(HEARTBEAT)
if unseen_seconds ~= '' and heartbeat and heartbeat > iso(NOW - unseen_seconds * 1000000) then
  return cjson.encode({ pending = 0, more = false, seen = true })
end
call('HDEL', key('presence'), instance)
call('ZADD', key('forgotten'), NOW_TEXT, instance)
call('ZREMRANGEBYRANK', key('forgotten'), 0, -NAMES_REMEMBERED - 1)

local ids = call('ZRANGE', pending, 0, WRITE_MAXIMUM - 1)
for _, id in ipairs(ids) do
  local message = read_for(instance, id)
  call('ZREM', pending, id)
  call('ZREM', paused, id)
  call('ZREM', key('deadlines'), id .. ' ' .. instance)
  if message and message.to then
    local open, dead, dropped = read_counts(message)
    if read_history(message.history) == 'd' then dead = math.max(dead - 1, 0) end
    call('HSET', key('msg', id), 'dead', dead, 'dropped', dropped + 1, 'history:' .. instance,
      (message.history and message.history .. ' ' or '') .. 'f' .. NOW_TEXT)
    place(id, open, dead, dropped + 1)
    tell_sender(message, reminder_event('dead', id, message, { instance }))
  end
end
local more = #ids == WRITE_MAXIMUM
if not more then
  call('UNLINK', paused)
  call('ZREM', key('paused'), instance)
end
return cjson.encode({ pending = #ids, more = more, seen = false })
