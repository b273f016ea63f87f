-- What acts on everyone: the settings of a namespace, and what its retention takes. The settings stand in P:meta: the first
-- client brings the values, and `coord settings` changes them.
local SETTINGS = { 'retention_days', 'max_messages', 'ack_attempts', 'ack_interval_seconds', 'presence_timeout_seconds' }
-- From, to, and what holds where nobody has set it; the same as in protocol.json (a test compares them).
local SETTING_BOUNDS = { retention_days = { 1, 36500, 30 }, max_messages = { 1, 1000000000, 100000 },
  ack_attempts = { 0, 100, 2 }, ack_interval_seconds = { 1, 2592000, 300 }, presence_timeout_seconds = { 1, 31536000, 300 } }

-- A setting as it stands in P:meta; nil where it is absent, or nothing that could have been set: a namespace that holds
-- "-5" messages would refuse all, one that holds "nan" keep all.
local function setting(name, stored)
  local value, bounds = whole(stored), SETTING_BOUNDS[name]
  return value and value >= bounds[1] and value <= bounds[2] and value or nil
end

-- The settings that stand in ARGV from `first` on, as HSET takes them.
local function first_settings(first)
  local fields = {}
  for i, name in ipairs(SETTINGS) do
    fields[2 * i - 1], fields[2 * i] = name, ARGV[first + i - 1]
  end
  return fields
end

-- Takes settled messages that are older than the retention time or more than the namespace may hold, oldest first, with
-- every trace of them and `room` more, until so much work is done. What is not settled stays, wherever it stands:
-- `retained` in P:meta is how far retention has come, so that a long tail of unanswered messages is passed once, and place()
-- tells which of them have been settled since. Returns how many were taken, and whether there is more to do.
local function retain(work, room)
  local cutoff = NOW - (setting('retention_days', META[3]) or math.huge) * 86400000000
  local surplus = redis.call('ZCARD', key('timeline')) + room - (setting('max_messages', META[4]) or math.huge)
  local removed = 0
  local function is_due(stamp)
    return tonumber(stamp) < cutoff or removed < surplus
  end
  -- What is of another type, or damaged, keeps its trace; it must not keep all others from going.
  local function remove(id)
    local message = redis.pcall('HMGET', key('msg', id), 'from', 'to', 'recipients', 'thread', 'type', 'subject',
      'requires_ack', 'timestamp', 'reply_to')
    local from, to, recipients, thread, kind, subject, asks, timestamp, reply_to = unpack(message.err and {} or message)
    for name in (to == 'all' and recipients or to or ''):gmatch('%S+') do
      work = work - 1
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
    redis.call('ZREM', key('timeline'), id)
    if not message.err then redis.call('UNLINK', key('msg', id)) end
    work, removed = work - 1, removed + 1
  end

  local expired = redis.call('ZRANGE', key('expired'), 0, math.max(work, 1) - 1, 'WITHSCORES')
  for i = 1, #expired, 2 do
    if work <= 0 or not is_due(expired[i + 1]) then break end
    remove(expired[i])
    redis.call('ZREM', key('expired'), expired[i])
  end
  local BATCH = 100
  local reached = META[5]
  -- Behind the last message there is nothing to go on from: begin anew, or it would never take anything any more.
  if reached and (stamp_of(reached) or 0) > (whole(META[2]) or NOW) then reached = false end
  local position = reached and '(' .. exact(stamp_of(reached) or 0) or '-inf'
  local examined, done = 0, false
  while not done and work > 0 and examined < EXAMINED_MAXIMUM do
    local ids = redis.call('ZRANGE', key('timeline'), position, '+inf', 'BYSCORE', 'LIMIT', 0, BATCH, 'WITHSCORES')
    for i = 1, #ids, 2 do
      done = work <= 0 or not is_due(ids[i + 1])
      if done then break end
      local id = ids[i]
      if redis.call('SISMEMBER', key('pending'), id) == 0 and not redis.call('ZSCORE', key('dead'), id) then remove(id) end
      if stamp_of(id) then reached = id end
      position, examined = '(' .. ids[i + 1], examined + 1
    end
    done = done or #ids < 2 * BATCH
  end
  if reached and reached ~= META[5] then redis.call('HSET', KEYS[1], 'retained', reached) end
  return removed, work <= 0 or examined >= EXAMINED_MAXIMUM
end

-- A refusal when a key that retention walks is of another type.
local function retain_problem()
  return wrong_type('zset', key('timeline')) or wrong_type('set', key('pending')) or wrong_type('zset', key('dead'))
    or wrong_type('zset', key('expired'))
end
