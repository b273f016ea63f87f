-- What a namespace lets go.

local QUEUE_SEARCHED = 100 -- events of a queue among which that of a message that goes is looked for: the oldest go first

local function forget_recipient(instance, id, event)
  local queue = key('notifications', instance)
  -- An administrator takes it; of others it is taken by its owner, in time.
  if SEALS and SEALS.forges then try('HDEL', key('seal', instance), 'ack ' .. id) end
  try('ZREM', key('inbox', instance), id)
  try('ZREM', key('unread', instance), id)
  try('ZREM', key('loaned', instance), id)
  -- One that is further behind is passed over by whoever takes it, since its message is not unread any more.
  local found = event and try('LPOS', queue, event, 'MAXLEN', QUEUE_SEARCHED)
  if type(found) == 'number' then call('LREM', queue, 1, event) end
end

-- Takes every trace of a message, from up to so many of its recipients; what is of another type, or damaged, keeps its own: it
-- must not keep all others from going. Who is left stands in its `recipients`, for the next call. Returns how much work it was,
-- and whether the message is gone.
local function remove_message(id, work)
  local values = try('HMGET', key('msg', id), 'from', 'to', 'recipients', 'thread', 'type', 'subject', 'requires_ack',
    'timestamp', 'reply_to')
  local from, to, recipients, thread, kind, subject, requires_ack, timestamp, reply_to = unpack(values.err and {} or values)
  local names, event = names_in(to == 'all' and recipients or to or ''), nil
  local left = math.max(#names - work, 0)
  for i = #names, left + 1, -1 do
    if kind and subject and timestamp and not event then
      event = published_event(id, kind, from or '', to, subject, requires_ack, timestamp, reply_to)
    end
    forget_recipient(names[i], id, event)
    if event and reply_to then
      forget_recipient(names[i], id, published_event(id, kind, from or '', to, subject, requires_ack, timestamp, reply_to, true))
    end
  end
  if left > 0 then
    call('HSET', key('msg', id), 'recipients', table.concat(names, ' ', 1, left))
    return #names - left, false
  end
  if from then try('ZREM', key('outbox', from), id) end
  if SEALS and SEALS.forges and from then try('HDEL', key('seal', from), id) end
  if kind then try('ZREM', key('type', kind), id) end
  if thread then try('ZREM', key('thread', thread), id) end
  try('ZREM', key('thread', id), id)
  try('ZREM', key('timeline'), id)
  if not values.err then call('UNLINK', key('msg', id)) end
  return #names + 1, true
end

-- Takes settled messages that are older than the retention time or more than the namespace may hold, oldest first, with
-- every trace of them and `room` more, until so much work is done. What is not settled stays, wherever it stands:
-- `retained` in P:meta is how far retention has come, so that a long tail of unanswered messages is passed once, and place()
-- tells which of them have been settled since. Returns how many were taken, and whether there is more to do.
local function retain(work, room)
  local cutoff = NOW - (setting('retention_days', call('HGET', KEYS[1], 'retention_days')) or math.huge) * 86400000000
  local surplus = call('ZCARD', key('timeline')) + room - (setting('max_messages', META.max_messages) or math.huge)
  local removed = 0
  local function is_due(stamp)
    return tonumber(stamp) < cutoff or removed < surplus
  end
  -- Whether the message is gone.
  local function remove(id)
    local done, gone = remove_message(id, work)
    work = work - done
    if gone then removed = removed + 1 end
    return gone
  end

  local expired = call('ZRANGE', key('expired'), 0, math.max(work, 1) - 1, 'WITHSCORES')
  for i = 1, #expired, 2 do
    if work <= 0 or not is_due(expired[i + 1]) or not remove(expired[i]) then break end
    call('ZREM', key('expired'), expired[i])
  end
  local BATCH_MAXIMUM = 100
  local batch = 1 -- mostly the oldest is not due, and is all that is looked at
  local reached = META.retained
  -- Behind the last message there is nothing to go on from: begin anew, or it would never take anything any more.
  if reached and (stamp_of(reached) or 0) > (whole(META.stamp) or NOW) then reached = false end
  local position = reached and '(' .. exact(stamp_of(reached) or 0) or '-inf'
  local examined, done = 0, false
  while not done and work > 0 and examined < READ_MAXIMUM do
    local ids = call('ZRANGE', key('timeline'), position, '+inf', 'BYSCORE', 'LIMIT', 0, batch, 'WITHSCORES')
    for i = 1, #ids, 2 do
      local id = ids[i]
      done = work <= 0 or not is_due(ids[i + 1])
      if done then break end
      local settled = not call('ZSCORE', key('pending'), id) and not call('ZSCORE', key('dead'), id)
      done = settled and not remove(id)
      if done then break end
      if stamp_of(id) then reached = id end
      position, examined = '(' .. ids[i + 1], examined + 1
    end
    done = done or #ids < 2 * batch
    batch = BATCH_MAXIMUM
  end
  if reached and reached ~= META.retained then call('HSET', KEYS[1], 'retained', reached) end
  return removed, work <= 0 or examined >= READ_MAXIMUM
end

-- Who holds up a full namespace: of those whom the oldest open messages are for, the three with the most.
local function waited_for()
  local NAMED = 3
  local pending, waiting, read = {}, {}, 0
  for _, id in ipairs(call('ZRANGE', key('pending'), 0, WRITE_MAXIMUM - 1)) do
    local to = try('HGET', key('msg', id), 'to')
    for _, name in ipairs(type(to) == 'string' and read < READ_MAXIMUM and recipients_of(id, to) or {}) do
      read = read + 1
      if not pending[name] and type(try('ZSCORE', key('pending', name), id)) == 'string' then
        pending[name] = call('ZCARD', key('pending', name))
        waiting[#waiting + 1] = name
      end
      if read >= READ_MAXIMUM then break end
    end
  end
  table.sort(waiting, function(a, b) return pending[a] > pending[b] end)
  for i, name in ipairs(waiting) do waiting[i] = name .. ' (' .. pending[name] .. ')' end
  return #waiting == 0 and 'nobody known' or table.concat(waiting, ', ', 1, math.min(#waiting, NAMED))
end

-- Room for one more message. At the bound each publish makes it, a little more than it needs, so that not every one has to;
-- else it looks now and then for what has become too old. Only what is not settled, and never taken, can fill a namespace:
-- then it is a refusal. The caller has asked for the types of the other keys that list messages.
local function make_room(me, asks, settings)
  local EVERY, ROOM_MAXIMUM = 64, 50
  local count = try('ZCARD', key('timeline'))
  if type(count) == 'table' then return wrong_type('zset', key('timeline')) or count end
  local maximum = setting('max_messages', META.max_messages) or tonumber(settings:match('^%d+ (%d+)'))
  local full = count >= maximum
  -- One sender that nobody answers, an agent in a loop, must not keep all others from sending.
  local share = math.ceil(maximum / 2)
  if asks and maximum > 1 and call('ZCARD', key('pending')) >= share
    and call('ZINTERCARD', 2, key('pending'), key('outbox', me), 'LIMIT', share) == share then
    return refuse('FULL', me .. ' has sent ' .. share .. ' messages that nobody has acknowledged, half of the ' .. maximum
      .. ' that the namespace holds; most of all are for ' .. waited_for() .. '.',
      'Have them acknowledged, or drop what nobody will answer: coord drop <message-id>.')
  end
  if not full and count % EVERY ~= 0 then return nil end
  local problem = problem_of({ zset = { key('dead'), key('expired') } })
  if problem then return problem end
  if full and call('ZCARD', key('pending')) + call('ZCARD', key('dead')) >= maximum then
    return refuse('FULL', 'The namespace holds ' .. maximum .. ' messages that are not acknowledged, its maximum; most are for '
      .. waited_for() .. '.',
      'Acknowledge them, drop what nobody will answer with `coord drop`, or raise it: coord settings max_messages.')
  end
  retain(WRITE_MAXIMUM / 2, full and math.max(1, math.min(ROOM_MAXIMUM, math.floor(maximum / 100))) or 0)
  return nil
end
