#!lua flags=allow-oom
-- Reads one message whole with everybody's receipts, or the whole conversation it belongs to, oldest first.
--
-- USES     receipts messages
-- KEYS     P:meta
-- ARGV     instance session message_id thread limit mark
--          instance: "" reads for nobody and marks nothing; thread: "1" for the conversation, its first limit messages;
--          mark: "0" leaves the marking to confirm
-- Returns  JSON text as check returns it
-- Refuses  NOT_FOUND, SUPERSEDED, INTERNAL
local me, session, message_id, thread, limit, mark = unpack(ARGV)

local problem = superseded(me, session)
if problem then return problem end
if redis.call('EXISTS', key('msg', message_id)) == 0 then
  return refuse('NOT_FOUND', 'message_id is ' .. quoted(message_id) .. ': no such message is stored.',
    'List messages with check and copy the id from there.')
end
problem = wrong_type('hash', key('msg', message_id)) or wrong_type('zset', key('unread', me))
  or wrong_type('zset', key('inbox', me))
local root = not problem and thread == '1' and (redis.call('HGET', key('msg', message_id), 'thread') or message_id)
problem = problem or (root and wrong_type('zset', key('thread', root)))
if problem then return problem end

local ids = { message_id }
local more = false
if root and redis.call('EXISTS', key('thread', root)) == 1 then
  ids = redis.call('ZRANGE', key('thread', root), 0, limit - 1)
  more = redis.call('ZCARD', key('thread', root)) > #ids
end

local messages, presented, unreadable = {}, {}, {}
for _, id in ipairs(ids) do
  local message, new = load_message(id, me, true)
  if message then
    messages[#messages + 1] = message
    if new then presented[#presented + 1] = id end
  else
    unreadable[#unreadable + 1] = { id, new }
  end
end
if mark == '1' then mark_presented(me, presented) end
touch(me, session)
return '[' .. cjson.encode({ more and '1' or '0', '0', ids[#ids], ids[1] }) .. ',' .. json_list(messages) .. ','
  .. json_list(unreadable) .. ']'
