-- Receipts: the state of one message for one recipient.

-- A receipt is "<presented at> <acknowledged at> <comment>" in microseconds, shorter while less has happened.
local function read_receipt(receipt)
  if receipt and receipt:find('^%d+$') then return receipt end -- most that are read are not acknowledged
  local presented, acknowledged, comment = (receipt or ''):match('^(%d+) ?(%d*) ?(.*)$')
  return presented, acknowledged ~= '' and acknowledged or nil, comment
end

-- Whether the message is addressed to the instance; a broadcast is, exactly when it is in the inbox.
local function is_recipient(instance, id, to)
  return to == instance or (to == 'all' and type(redis.pcall('ZSCORE', key('inbox', instance), id)) == 'string')
end

-- What an acknowledgement of `instance` looks at, at once: from, to, type, subject, thread, and what acknowledge() takes.
local function read_asked(id, instance)
  return redis.pcall('HMGET', key('msg', id), 'from', 'to', 'type', 'subject', 'thread', 'receipt:' .. instance,
    'history:' .. instance, 'open', 'dead', 'dropped', 'ack_within')
end

-- A refusal when a key that an acknowledgement writes is of another type.
local function acknowledge_problem(instance, asked)
  return wrong_type('zset', key('unread', instance)) or wrong_type('zset', key('pending', instance))
    or wrong_type('set', key('pending')) or asked[9] and wrong_type('zset', key('dead'))
    or asked[11] and wrong_type('zset', key('deadlines')) or META[4] and wrong_type('zset', key('expired'))
    or wrong_type('list', key('notifications', asked[1]))
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
  if META[4] and id <= META[4] then redis.call('ZADD', key('expired'), exact(stamp_of(id) or 0), id) end
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
    redis.call('ZADD', key('dead'), 'NX', NOW_TEXT, id)
    return
  end
  redis.call('ZREM', key('dead'), id)
  settle(id)
end

-- Settles a message for one of its recipients (G5), given what read_asked() read: the first time counts, a repeat changes
-- nothing. Returns when it was first acknowledged, as text, whether that was before this call, and the comment of that time.
-- The caller tells the sender.
local function acknowledge(instance, id, asked, comment)
  local message, to = key('msg', id), asked[2]
  local presented, acknowledged, earlier = read_receipt(asked[6])
  if acknowledged then return acknowledged, true, earlier end
  redis.call('HSET', message, 'receipt:' .. instance,
    (presented or NOW_TEXT) .. ' ' .. NOW_TEXT .. (comment ~= '' and ' ' .. comment or ''))
  redis.call('ZREM', key('unread', instance), id)
  redis.call('ZREM', key('pending', instance), id)
  local open, dead, dropped = read_counts(to, asked[8], asked[9], asked[10])
  open = math.max(open - 1, 0)
  -- A broadcast counts its open receipts, so that the last one is known without reading all of them.
  if to == 'all' then redis.call('HSET', message, 'open', open) end
  local state = read_history(asked[7])
  if state == 'd' then
    dead = math.max(dead - 1, 0)
    redis.call('HSET', message, 'dead', dead)
  elseif state == 'x' then
    dropped = math.max(dropped - 1, 0)
    redis.call('HSET', message, 'dropped', dropped)
  end
  if asked[11] then redis.call('ZREM', key('deadlines'), id .. ' ' .. instance, open <= 0 and id or '') end
  if open <= dead + dropped then
    -- What never died, and that is nearly all, need not be looked for among the dead.
    if asked[9] then place(id, open, dead, dropped) else settle(id) end
  end
  return NOW_TEXT, false, comment
end

-- The recipients of a message by name.
local function recipients_of(id, to)
  if to ~= 'all' then return { to } end
  local names = {}
  for name in (redis.call('HGET', key('msg', id), 'recipients') or ''):gmatch('%S+') do names[#names + 1] = name end
  return names
end

-- For how many seconds a message waits, as every surface shows it.
local function waiting_seconds(id)
  return exact(math.max(0, math.floor((NOW - (stamp_of(id) or NOW)) / 1000000)))
end

-- Marks as presented what `instance` is shown now for the first time, or after it was announced again.
local function mark_presented(instance, ids)
  for _, id in ipairs(ids) do
    redis.call('HSETNX', key('msg', id), 'receipt:' .. instance, NOW_TEXT)
  end
  if #ids > 0 then redis.call('ZREM', key('unread', instance), unpack(ids)) end
end
