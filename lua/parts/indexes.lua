-- Where a message is listed: for everybody, under its sender, its type and its conversation, and for each recipient.

-- The id of the next message and its stamp; nil and a refusal where P:meta holds no time. Ten digits in base 36 are short enough
-- for an agent to copy, and sorted like the stamp.
local function next_id()
  local last = tonumber(META.stamp or '0')
  if not (last and last >= 0 and last < 36 ^ 10 - 1) then
    return nil, refuse('INTERNAL', KEYS[1] .. ' has the stamp ' .. quoted(META.stamp) .. ', which is no time.',
      'Delete that field: the next stamp is then taken from the clock.')
  end
  local stamp = math.max(NOW, last + 1)
  local zero, a = 48, 97
  local characters, rest = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }, stamp
  for i = 10, 1, -1 do
    local digit = rest % 36
    characters[i] = digit < 10 and zero + digit or a + digit - 10
    rest = (rest - digit) / 36
  end
  return 'msg-' .. string.char(unpack(characters)), exact(stamp)
end

-- Every key that storing a message writes for these recipients, for problem_of; but its own, and the timeline, which is asked for
-- anyway.
local function message_keys(from, kind, root, names)
  local sets = { key('outbox', from), key('pending'), key('deadlines'), kind and key('type', kind) or false,
    root and key('thread', root) or false }
  local queues = {}
  for i, name in ipairs(names) do
    sets[#sets + 1] = key('inbox', name)
    sets[#sets + 1] = key('unread', name)
    sets[#sets + 1] = key('pending', name)
    queues[i] = key('notifications', name)
  end
  return { zset = sets, list = queues }
end

-- Lists a message for everybody. A conversation gets its set with the first reply; most messages have none, and a set of one
-- would cost more than it says.
local function index_message(id, score, from, kind, root)
  call('ZADD', key('timeline'), score, id)
  call('ZADD', key('outbox', from), score, id)
  if kind then call('ZADD', key('type', kind), score, id) end
  if not root then return end
  local began = call('EXISTS', key('thread', root)) == 0 and call('ZSCORE', key('timeline'), root)
  if began then call('ZADD', key('thread', root), began, root) end
  call('ZADD', key('thread', root), score, id)
end
