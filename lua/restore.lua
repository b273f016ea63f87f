#!lua
-- Puts back what was exported; what is there already stays as it is, so that importing twice does no more than once.
--
-- USES     receipts settings events leases blocks retention
-- KEYS     P:meta
-- ARGV     instance session part name value…
--          part: "meta", fields and values; "presence" of the instance name, its entry; "message" of the id name, for whom
--          it is new (separated by spaces), its fields and values; "queue" of the instance name, the export, its events;
--          "key" of the instance name, the key, the message id, seconds
-- Returns  "1" when something was put back
-- Refuses  INVALID, INTERNAL; out of memory before the first write
local me, session, part, name = unpack(ARGV)
touch(me, session)

if part == 'meta' then
  local first = not META[1]
  for i = 5, #ARGV, 2 do
    local field, value = ARGV[i], ARGV[i + 1]
    local count = field == 'stamp' or field == 'sessions' or field:find('^published:')
    if count then -- order goes on behind both, and numbers are given once
      local here = whole(redis.call('HGET', KEYS[1], field)) or 0
      redis.call('HSET', KEYS[1], field, exact(math.max(here, whole(value) or 0)))
    else
      redis.call('HSETNX', KEYS[1], field, value)
    end
  end
  return first and '1' or '0'
end

if part == 'presence' then
  return tostring(redis.call('HSETNX', key('presence'), name, ARGV[5]))
end

if part == 'key' then
  local set = redis.call('SET', key('once', name) .. ':' .. ARGV[5], ARGV[6], 'NX', 'EX', ARGV[7])
  return set and '1' or '0'
end

if part == 'queue' then
  local problem = event_problem(name) or wrong_type('set', key('imported'))
  if problem then return problem end
  if redis.call('SADD', key('imported'), ARGV[5] .. ' ' .. name) == 0 then return '0' end
  for i = 6, #ARGV do announce(name, ARGV[i]) end
  return '1'
end

local id, message, stamp = name, {}, stamp_of(name)
for i = 6, #ARGV, 2 do message[ARGV[i]] = ARGV[i + 1] end
if not stamp or not (message.from and message.to) then
  return refuse('INVALID', 'The message ' .. quoted(id) .. ' is not one that was exported.', 'Use the file as export wrote it.')
end
local problem = retain_problem() or wrong_type('hash', key('msg', id)) or wrong_type('zset', key('deadlines'))
  or wrong_type('zset', key('outbox', message.from)) or (message.thread and wrong_type('zset', key('thread', message.thread)))
problem = problem or (message.type and wrong_type('zset', key('type', message.type)))
if problem then return problem end
if redis.call('EXISTS', key('msg', id)) == 1 then return '0' end
local names = message.to == 'all' and {} or { message.to }
for recipient in (message.to == 'all' and message.recipients or ''):gmatch('%S+') do names[#names + 1] = recipient end
for _, recipient in ipairs(names) do
  problem = problem or wrong_type('zset', key('inbox', recipient)) or wrong_type('zset', key('pending', recipient))
    or wrong_type('zset', key('unread', recipient))
end
if problem then return problem end

for field, value in pairs(message) do redis.call('HSET', key('msg', id), field, value) end
local score = exact(stamp)
redis.call('ZADD', key('timeline'), score, id)
redis.call('ZADD', key('outbox', message.from), score, id)
local block = message.type and block_from(message.type, stamp)
-- A block of its own, and the one that is being filled ends, since blocks of a type must not overlap.
if message.type and not (block and block <= stamp) then redis.call('ZADD', key('type', message.type), score, score) end
redis.call('HDEL', KEYS[1], 'block')
if message.thread then
  local began = redis.call('ZSCORE', key('timeline'), message.thread)
  if began then redis.call('ZADD', key('thread', message.thread), began, message.thread) end
  redis.call('ZADD', key('thread', message.thread), score, id)
end
local new = ' ' .. ARGV[5] .. ' '
for _, recipient in ipairs(names) do
  redis.call('ZADD', key('inbox', recipient), score, id)
  if new:find(' ' .. recipient .. ' ', 1, true) then redis.call('ZADD', key('unread', recipient), score, id) end
  local _, acknowledged = read_receipt(message['receipt:' .. recipient])
  local state = read_history(message['history:' .. recipient])
  if message.requires_ack == '1' and not acknowledged and state ~= 'x' then
    redis.call('ZADD', key('pending', recipient), score, id)
    if whole(message.ack_within) and state ~= 'd' then -- begins anew: nobody could answer meanwhile
      redis.call('ZADD', key('deadlines'), exact(NOW + message.ack_within * 1000000), id .. ' ' .. recipient)
    end
  end
end
local open, dead, dropped = read_counts(message.to, message.open, message.dead, message.dropped)
if message.to ~= 'all' and select(2, read_receipt(message['receipt:' .. message.to])) then open = 0 end
if message.requires_ack ~= '1' or #names == 0 then open, dead, dropped = 0, 0, 0 end
place(id, open, dead, dropped)
return '1'
