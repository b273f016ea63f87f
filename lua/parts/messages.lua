-- Messages and their receipts. A receipt is the state of one message for one recipient.

-- A receipt is "<presented at> <acknowledged at> <comment>" in microseconds, shorter while less has happened.
local function read_receipt(receipt)
  local presented, acknowledged, comment = (receipt or ''):match('^(%d+) ?(%d*) ?(.*)$')
  return presented, acknowledged ~= '' and acknowledged or nil, comment
end

-- Whether the message is addressed to the instance; a broadcast is, exactly when it is in the inbox.
local function is_recipient(instance, id, to)
  return to == instance or (to == 'all' and type(redis.pcall('ZSCORE', key('inbox', instance), id)) == 'string')
end

-- A refusal when a key that an acknowledgement writes is of another type.
local function acknowledge_problem(instance, sender)
  return wrong_type('zset', key('unread', instance)) or wrong_type('zset', key('pending', instance))
    or wrong_type('set', key('pending')) or wrong_type('zset', key('dead')) or wrong_type('zset', key('deadlines'))
    or META[5] and wrong_type('zset', key('expired')) or wrong_type('list', key('notifications', sender))
end

-- What became of a receipt whose deadline has passed, from its history (see sweep.lua): the last thing that happened, a
-- letter ("" when nothing has), and what has happened since it was retried.
local function read_history(history)
  local since_retry = (history or ''):match('.*r%d+ ?(.*)$') or history or ''
  return since_retry:match('.*(%a)%d+$') or (history or ''):match('.*(%a)%d+$') or '', since_retry
end

-- The counts that place a message, of which one that is addressed to one instance stores only what is unusual: receipts
-- not acknowledged, and among them those that are dead and those that were dropped.
local function read_counts(to, open, dead, dropped)
  return to == 'all' and whole(open) or 1, whole(dead) or 0, whole(dropped) or 0
end

-- Nobody is waited for any more, nor was given up. Retention has passed some by while they were not settled: those go next.
local function settle(id)
  redis.call('SREM', key('pending'), id)
  if META[5] and id <= META[5] then redis.call('ZADD', key('expired'), exact(stamp_of(id) or 0), id) end
end

-- Puts a message that asks for acknowledgements where it belongs (G2): pending while somebody is still waited for, else
-- dead while a receipt is, else settled.
local function place(id, open, dead, dropped)
  if open > dead + dropped then
    redis.call('SADD', key('pending'), id)
    redis.call('ZREM', key('dead'), id)
    return
  end
  if dead > 0 then
    redis.call('SREM', key('pending'), id)
    redis.call('ZADD', key('dead'), 'NX', exact(NOW), id)
    return
  end
  redis.call('ZREM', key('dead'), id)
  settle(id)
end

-- Settles a message for one of its recipients (G5): the first time counts, a repeat changes nothing. Returns when it
-- was first acknowledged, whether that was before this call, and the comment of that time. The caller tells the sender.
local function acknowledge(instance, id, to, comment)
  local message = key('msg', id)
  local known = redis.call('HMGET', message, 'receipt:' .. instance, 'history:' .. instance, 'open', 'dead', 'dropped',
    'ack_within')
  local presented, acknowledged, earlier = read_receipt(known[1])
  if acknowledged then return tonumber(acknowledged), true, earlier end
  local now = exact(NOW)
  redis.call('HSET', message, 'receipt:' .. instance,
    (presented or now) .. ' ' .. now .. (comment ~= '' and ' ' .. comment or ''))
  redis.call('ZREM', key('unread', instance), id)
  redis.call('ZREM', key('pending', instance), id)
  local open, dead, dropped = read_counts(to, known[3], known[4], known[5])
  open = math.max(open - 1, 0)
  -- A broadcast counts its open receipts, so that the last one is known without reading all of them.
  if to == 'all' then redis.call('HSET', message, 'open', open) end
  local state = read_history(known[2])
  if state == 'd' then
    dead = math.max(dead - 1, 0)
    redis.call('HSET', message, 'dead', dead)
  elseif state == 'x' then
    dropped = math.max(dropped - 1, 0)
    redis.call('HSET', message, 'dropped', dropped)
  end
  if known[6] then redis.call('ZREM', key('deadlines'), id .. ' ' .. instance, open <= 0 and id or '') end
  if open <= dead + dropped then
    -- What never died, and that is nearly all, need not be looked for among the dead.
    if known[4] then place(id, open, dead, dropped) else settle(id) end
  end
  return NOW, false, comment
end

-- The recipients of a message by name.
local function recipients_of(id, to)
  if to ~= 'all' then return { to } end
  local names = {}
  for name in (redis.call('HGET', key('msg', id), 'recipients') or ''):gmatch('%S+') do names[#names + 1] = name end
  return names
end

-- The receipts of a message, flat: name, receipt, history, name, receipt, history …
local function receipts_of(id, to)
  local receipts = {}
  for _, name in ipairs(recipients_of(id, to)) do
    local known = redis.call('HMGET', key('msg', id), 'receipt:' .. name, 'history:' .. name)
    receipts[#receipts + 1] = name
    receipts[#receipts + 1] = known[1] or ''
    receipts[#receipts + 1] = known[2] or ''
  end
  return receipts
end

local MESSAGE_FIELDS = { 'id', 'type', 'from', 'to', 'timestamp', 'requires_ack', 'subject', 'description',
  'reply_to', 'thread', 'receipt:' .. ARGV[1], 'history:' .. ARGV[1] } -- every verb that loads messages names its reader first

-- One message as its reader `me` may see it: the fields above (false where absent), in place of the receipt whether it is
-- acknowledged ("1", "0"), then the receipts where `me` sent it or `everyone` is asked for, else false; and for how many
-- seconds it waits where it was announced again. Second, whether `me` is a recipient that sees it for the first time, or
-- after that. When it cannot be read: nil and the reason, so that one broken message never hides the others.
local function load_message(id, me, everyone)
  local message = redis.pcall('HMGET', key('msg', id), unpack(MESSAGE_FIELDS))
  if message.err then return nil, 'the key holds another type' end
  for i = 1, 8 do
    if not message[i] then
      local exists = redis.call('EXISTS', key('msg', id)) == 1
      return nil, exists and 'the field ' .. MESSAGE_FIELDS[i] .. ' is missing' or 'the message is gone'
    end
  end
  local to = message[4]
  local mine = me ~= '' and is_recipient(me, id, to)
  local announced = mine and message[12] and message[12]:find('[ar]')
  local presented, acknowledged
  if mine then
    presented, acknowledged = read_receipt(message[11])
  elseif to ~= 'all' then
    presented, acknowledged = read_receipt(redis.call('HGET', key('msg', id), 'receipt:' .. to))
  else
    acknowledged = whole(redis.call('HGET', key('msg', id), 'open')) == 0
  end
  message[11] = acknowledged and '1' or '0'
  message[12] = (everyone or message[3] == me) and receipts_of(id, to) or false
  if message[12] and #message[12] == 0 then message[12] = false end -- cjson writes an empty table as an object
  message[13] = announced and not acknowledged and waiting_seconds(id) or false
  return message, mine and (not presented or announced and not acknowledged)
end

-- Marks as presented what `instance` is shown now for the first time, or after it was announced again.
local function mark_presented(instance, ids)
  for _, id in ipairs(ids) do
    redis.call('HSETNX', key('msg', id), 'receipt:' .. instance, exact(NOW))
  end
  if #ids > 0 then redis.call('ZREM', key('unread', instance), unpack(ids)) end
end

-- What a message adds to a result of bounded size: its texts as JSON, the rest of it, and its receipts.
local function size_of(message, cut)
  -- Of receipts 50 are listed, each with the beginning of its comment.
  local size = 300 + #cjson.encode({ message[7], message[8]:sub(1, cut) })
  for i = 2, message[12] and math.min(#message[12], 150) or 0, 3 do
    size = size + 170 + #cjson.encode(message[12][i]:sub(1, 240)) + 4 * #message[12][i + 1]
  end
  return size
end
