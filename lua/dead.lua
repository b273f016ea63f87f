#!lua flags=allow-oom
-- Lists what nobody is reminded of any more, those that died first first; retries or drops some of them.
--
-- USES     receipts messages events
-- KEYS     P:meta
-- ARGV     instance session action limit message_id…
--          action: "list" the first limit of all; "retry", which reminds of them anew, or "drop", which asks nobody any more
-- Returns  JSON text as check returns it: the dead messages, or those that were retried or dropped, with all receipts
-- Refuses  NOT_FOUND, SUPERSEDED, INTERNAL
local me, session, action, limit = unpack(ARGV)
local dead = key('dead')
local problem = superseded(me, session) or wrong_type('zset', dead) or wrong_type('set', key('pending'))
  or wrong_type('zset', key('deadlines')) or wrong_type('zset', key('expired'))
if problem then return problem end

local ids, more = {}, false
if action == 'list' then
  ids = redis.call('ZRANGE', dead, 0, limit - 1)
  more = redis.call('ZCARD', dead) > #ids
end
local recipients = {} -- of each id, those that died
for i = 5, #ARGV do
  local id = ARGV[i]
  if not redis.call('ZSCORE', dead, id) then
    return refuse('NOT_FOUND', 'message_id is ' .. quoted(id) .. ': it is not listed as dead.',
      'coord dead list shows those that are.')
  end
  recipients[id] = {}
  problem = wrong_type('hash', key('msg', id))
  if problem then return problem end
  local to = redis.call('HGET', key('msg', id), 'to')
  for _, name in ipairs(to and recipients_of(id, to) or {}) do
    problem = wrong_type('zset', key('unread', name)) or wrong_type('zset', key('pending', name))
      or wrong_type('list', key('notifications', name))
    if problem then return problem end
    if read_history(redis.call('HGET', key('msg', id), 'history:' .. name)) == 'd' then table.insert(recipients[id], name) end
  end
  ids[#ids + 1] = id
end

for id, names in pairs(recipients) do
  local message = key('msg', id)
  local known = redis.call('HMGET', message, 'to', 'open', 'dead', 'dropped', 'ack_within', 'type', 'from', 'subject')
  local open, _, dropped = read_counts(known[1], known[2], known[3], known[4])
  local seconds = whole(known[5]) or 0
  if action == 'drop' then dropped = dropped + #names end
  local event = reminder_event('overdue', id, known[6] or '', known[7] or '', known[1] or '', known[8] or '')
  for _, name in ipairs(names) do
    redis.call('HSET', message, 'history:' .. name,
      redis.call('HGET', message, 'history:' .. name) .. (action == 'drop' and ' x' or ' r') .. NOW_TEXT)
    if action == 'drop' then
      redis.call('ZREM', key('unread', name), id)
      redis.call('ZREM', key('pending', name), id)
    else
      redis.call('ZADD', key('unread', name), exact(stamp_of(id) or 0), id)
      redis.call('ZADD', key('deadlines'), exact(NOW + seconds * 1000000), id .. ' ' .. name)
      announce(name, event)
    end
  end
  if action == 'retry' and #names > 0 then redis.call('PUBLISH', key('events'), event) end
  if known[1] then
    redis.call('HSET', message, 'dead', 0, 'dropped', dropped)
    place(id, open, 0, dropped)
  else -- it is gone, or nobody can say whom it was for: nobody is waited for
    redis.call('ZREM', dead, id)
  end
end

local messages, unreadable = {}, {}
for _, id in ipairs(ids) do
  local message, reason = load_message(id, me, true)
  if message then
    messages[#messages + 1] = message
  else
    unreadable[#unreadable + 1] = { id, reason }
  end
end
touch(me, session)
return '[' .. cjson.encode({ more and '1' or '0', '0', '', '' }) .. ',' .. json_list(messages) .. ','
  .. json_list(unreadable) .. ']'
