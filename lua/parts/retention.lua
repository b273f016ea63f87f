-- What a namespace lets go.

-- A type loses the block that spans this stamp with the last message in it. Where messages go in their order, that is one of
-- the type; one that goes late may have been all that a block of another type had left.
local function remove_blocks(kind, late, stamp)
  local kinds = { kind }
  if late or not kind then
    kinds = {}
    for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do kinds[#kinds + 1] = field:match('^published:(.*)$') end
  end
  for _, name in ipairs(kinds) do
    local first, last, member = block_from(name, stamp)
    if first and first <= stamp and redis.call('ZCOUNT', key('timeline'), exact(first), exact(last)) == 0 then
      redis.call('ZREM', key('type', name), member)
    end
  end
end

-- Takes every trace of a message. What is of another type, or damaged, keeps its own; it must not keep all others from
-- going. `late`: those after it may be gone already. Returns how much work it was.
local function remove_message(id, late)
  local work, stamp = 1, stamp_of(id)
  local message = redis.pcall('HMGET', key('msg', id), 'from', 'to', 'recipients', 'thread', 'type', 'subject',
    'requires_ack', 'timestamp', 'reply_to')
  local from, to, recipients, thread, kind, subject, asks, timestamp, reply_to = unpack(message.err and {} or message)
  for name in (to == 'all' and recipients or to or ''):gmatch('%S+') do
    work = work + 1
    redis.pcall('ZREM', key('unread', name), id)
    if kind and subject and timestamp then
      -- Its event, where it waits, is near the head, since the oldest go first.
      for _, acknowledged in ipairs({ false, reply_to and true or nil }) do
        redis.pcall('LREM', key('notifications', name), 1,
          published_event(id, kind, from or '', to, subject, asks, timestamp, reply_to, acknowledged))
      end
    end
    redis.pcall('ZREM', key('inbox', name), id)
    redis.pcall('ZREM', key('leased', name), id)
  end
  if from then redis.pcall('ZREM', key('outbox', from), id) end
  if thread then redis.pcall('ZREM', key('thread', thread), id) end
  redis.pcall('ZREM', key('thread', id), id)
  redis.pcall('ZREM', key('timeline'), id)
  if stamp then remove_blocks(kind, late, stamp) end
  if not message.err then redis.call('UNLINK', key('msg', id)) end
  return work
end

-- Takes settled messages that are older than the retention time or more than the namespace may hold, oldest first, with
-- every trace of them and `room` more, until so much work is done. What is not settled stays, wherever it stands:
-- `retained` in P:meta is how far retention has come, so that a long tail of unanswered messages is passed once, and place()
-- tells which of them have been settled since. Returns how many were taken, and whether there is more to do.
local function retain(work, room)
  local cutoff = NOW - (setting('retention_days', redis.call('HGET', KEYS[1], 'retention_days')) or math.huge) * 86400000000
  local surplus = redis.call('ZCARD', key('timeline')) + room - (setting('max_messages', META[3]) or math.huge)
  local removed = 0
  local function is_due(stamp)
    return tonumber(stamp) < cutoff or removed < surplus
  end
  local function remove(id, late)
    work = work - remove_message(id, late)
    removed = removed + 1
  end

  local expired = redis.call('ZRANGE', key('expired'), 0, math.max(work, 1) - 1, 'WITHSCORES')
  for i = 1, #expired, 2 do
    if work <= 0 or not is_due(expired[i + 1]) then break end
    remove(expired[i], true)
    redis.call('ZREM', key('expired'), expired[i])
  end
  local BATCH_MAXIMUM = 100
  local batch = 1 -- mostly the oldest is not due, and is all that is looked at
  local reached = META[4]
  -- Behind the last message there is nothing to go on from: begin anew, or it would never take anything any more.
  if reached and (stamp_of(reached) or 0) > (whole(META[2]) or NOW) then reached = false end
  local position = reached and '(' .. exact(stamp_of(reached) or 0) or '-inf'
  local examined, done = 0, false
  while not done and work > 0 and examined < EXAMINED_MAXIMUM do
    local ids = redis.call('ZRANGE', key('timeline'), position, '+inf', 'BYSCORE', 'LIMIT', 0, batch, 'WITHSCORES')
    for i = 1, #ids, 2 do
      done = work <= 0 or not is_due(ids[i + 1])
      if done then break end
      local id = ids[i]
      if redis.call('SISMEMBER', key('pending'), id) == 0 and not redis.call('ZSCORE', key('dead'), id) then remove(id) end
      if stamp_of(id) then reached = id end
      position, examined = '(' .. ids[i + 1], examined + 1
    end
    done = done or #ids < 2 * batch
    batch = BATCH_MAXIMUM
  end
  if reached and reached ~= META[4] then redis.call('HSET', KEYS[1], 'retained', reached) end
  return removed, work <= 0 or examined >= EXAMINED_MAXIMUM
end

-- A refusal when a key that retention walks is of another type.
local function retain_problem()
  return wrong_type('zset', key('timeline')) or wrong_type('set', key('pending')) or wrong_type('zset', key('dead'))
    or wrong_type('zset', key('expired'))
end
