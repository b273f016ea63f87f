-- Receipts: the state of one message for one recipient.

-- A receipt is "<presented at> <acknowledged at> <comment>" in microseconds, shorter while less has happened. Behind the time of
-- an acknowledgement from outside of the agent's session stands "o", and 0 is presented to nobody yet.
local function read_receipt(receipt)
  if receipt and receipt:find('^%d+$') then return receipt end -- most that are read are not acknowledged
  local presented, acknowledged, outside, comment = (receipt or ''):match('^(%d+) ?(%d*)(o?) ?(.*)$')
  return presented ~= '0' and presented or nil, acknowledged ~= '' and acknowledged or nil, comment, outside == 'o'
end

-- Redis' microseconds as the time shown to people and agents; what is no time is shown as it is stored.
local function shown_time(microseconds)
  return whole(microseconds) and iso(tonumber(microseconds)) or microseconds
end

-- What became of a receipt whose deadline has passed, from its history (see README.md): the last thing that happened, a
-- letter ("" when nothing has), and what has happened since it was retried.
local function read_history(history)
  local since_retry = (history or ''):match('.*r%d+ ?(.*)$') or history or ''
  return since_retry:match('.*(%a)%d+$') or (history or ''):match('.*(%a)%d+$') or '', since_retry
end

-- A message as what settles it for one recipient needs it, by name, read at once; nil and Redis' error where it cannot be.
local function read_for(instance, id)
  local values = try('HMGET', key('msg', id), 'from', 'to', 'type', 'subject', 'thread', 'ack_within', 'open', 'dead',
    'dropped', 'receipt:' .. instance, 'history:' .. instance)
  if values.err then return nil, values end
  local from, to, kind, subject, thread, ack_within, open, dead, dropped, receipt, history = unpack(values)
  return { from = from, to = to, type = kind, subject = subject, thread = thread, ack_within = ack_within, open = open,
    dead = dead, dropped = dropped, receipt = receipt, history = history }
end

-- The counts that place a message, of which one that is addressed to one instance stores only what is unusual: receipts
-- not acknowledged, and among them those that are dead and those that nobody waits for (dropped, or of who was forgotten).
local function read_counts(message)
  return message.to == 'all' and whole(message.open) or 1, whole(message.dead) or 0, whole(message.dropped) or 0
end

-- Nobody is waited for any more, nor was given up. Retention has passed some by while they were not settled: those go next.
local function settle(id)
  call('ZREM', key('pending'), id)
  if META.retained and id <= META.retained then call('ZADD', key('expired'), exact(stamp_of(id) or 0), id) end
end

-- When a deadline of so many seconds passes, as a score: on a mark that others share, at most a tenth and at most a minute
-- later, so that several messages wake an agent once.
local function deadline_after(seconds)
  local mark = math.max(1, math.min(seconds / 10, 60) * 1000000)
  return exact(math.ceil((NOW + seconds * 1000000) / mark) * mark)
end

-- Puts a message that asks for acknowledgements where it belongs (G2): pending while somebody is still waited for, else
-- dead while a receipt is, else settled.
local function place(id, open, dead, dropped)
  if open > dead + dropped then
    call('ZADD', key('pending'), exact(stamp_of(id) or 0), id)
    call('ZREM', key('dead'), id)
  elseif dead > 0 then
    call('ZREM', key('pending'), id)
    call('ZADD', key('dead'), 'NX', NOW_TEXT, id)
  else
    call('ZREM', key('dead'), id)
    settle(id)
  end
end

-- The keys that an acknowledgement of `instance` writes, for problem_of; with a message also what only that of this one writes.
local function acknowledge_keys(instance, message)
  local sets = { key('unread', instance), key('pending', instance), key('pending'), key('deadlines'),
    META.retained and key('expired') or false, message and message.dead and key('dead') or false,
    message and key('inbox', instance) or false }
  return { zset = sets, list = { message and key('notifications', message.from) or false } }
end

-- Settles a message for one of its recipients (G5), given what read_for() read: the first time counts, a repeat changes
-- nothing. Returns when it was first acknowledged, as text, whether that was before this call, the comment of that time, and
-- whether it came from outside. The caller tells the sender.
local function acknowledge(instance, id, message, comment, outside)
  local presented, acknowledged, earlier, earlier_outside = read_receipt(message.receipt)
  if acknowledged then return acknowledged, true, earlier, earlier_outside end
  -- Else the agent would never learn of what was answered for it (G11).
  local unseen = outside and not presented and call('ZSCORE', key('unread', instance), id)
  call('HSET', key('msg', id), 'receipt:' .. instance, (unseen and '0' or presented or NOW_TEXT) .. ' ' .. NOW_TEXT
    .. (outside and 'o' or '') .. (comment ~= '' and ' ' .. comment or ''))
  if not unseen then call('ZREM', key('unread', instance), id) end
  call('ZREM', key('pending', instance), id)
  local open, dead, dropped = read_counts(message)
  open = math.max(open - 1, 0)
  -- A broadcast counts its open receipts, so that the last one is known without reading all of them.
  if message.to == 'all' then call('HSET', key('msg', id), 'open', open) end
  local state = read_history(message.history)
  if state == 'd' then
    dead = math.max(dead - 1, 0)
    call('HSET', key('msg', id), 'dead', dead)
  elseif state == 'x' or state == 'f' then
    dropped = math.max(dropped - 1, 0)
    call('HSET', key('msg', id), 'dropped', dropped)
  end
  if message.ack_within then call('ZREM', key('deadlines'), id .. ' ' .. instance, open <= 0 and id or '') end
  if open <= dead + dropped then
    -- What never died, and that is nearly all, need not be looked for among the dead.
    if message.dead then place(id, open, dead, dropped) else settle(id) end
  end
  return NOW_TEXT, false, comment, outside
end

-- For how many seconds a message waits, as every surface shows it.
local function waiting_seconds(id)
  return math.max(0, math.floor((NOW - (stamp_of(id) or NOW)) / 1000000))
end

-- Marks as presented what `instance` is shown now for the first time, or after it was announced again.
local function mark_presented(instance, ids)
  local field = 'receipt:' .. instance
  for _, id in ipairs(ids) do
    local receipt = call('HSETNX', key('msg', id), field, NOW_TEXT) == 0 and call('HGET', key('msg', id), field)
    -- Acknowledged from outside before.
    if receipt and receipt:find('^0 ') then call('HSET', key('msg', id), field, NOW_TEXT .. receipt:sub(2)) end
  end
  if #ids > 0 then call('ZREM', key('unread', instance), unpack(ids)) end
end
