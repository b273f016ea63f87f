#!lua
-- Puts back what was exported; what is there already stays as it is, so that importing twice does no more than once.
--
-- USES     recipients receipts events indexes loans
-- KEYS     P:meta
-- ARGV     instance session part name value…
--          part: "meta", fields and values; "presence" of the instance name, its entry; "message" of the id name, for whom
--          it is new (separated by spaces), how many recipients are in place, its fields and values, receipts only of the next
--          100 recipients; "queue" of the instance name, the export, its events; "key" of the instance name, the key, the
--          message id, seconds
-- Returns  "1" when something was put back, of a message also how many recipients are in place; "" where it was there before
-- Refuses  INVALID, IDENTITY, INTERNAL; out of memory before the first write
local me, session, part, name = unpack(ARGV)
-- It writes what each instance alone writes, and must not find that out half-way.
if not redis.acl_check_cmd('SET', key('once', ''), '') or not redis.acl_check_cmd('ZADD', key('outbox', ''), '0', '') then
  return refuse('IDENTITY', 'The Redis user of one instance cannot import.', 'Log in as the user that coord acl --export prints.')
end
touch(me, session)

-- A stamp of the year 2085 would be the last: nobody could publish behind it. Clocks of two servers may differ by a day.
local function too_new(stamp)
  return stamp and stamp > NOW + AHEAD_SECONDS * 1000000
    and refuse('INVALID', 'The file has a stamp or message of the future: ' .. exact(stamp) .. '.',
    'Set the clock of this Redis, or leave that line out.')
end

-- Beyond, a number would not be exact, or a script would refuse it and stop everybody: so many were never counted.
local COUNT_MAXIMUM = 1e15
-- Of P:meta, which every script reads and stats lists.
local META_MAXIMUM, FIELD_MAXIMUM = 200, 80

if part == 'meta' then
  for i = 5, #ARGV, 2 do
    local field, value = ARGV[i], ARGV[i + 1]
    local problem = field == 'stamp' and too_new(whole(value))
    if problem then return problem end
    if (field == 'sessions' or field:find('^published:')) and ((whole(value) or 0) > COUNT_MAXIMUM
      or #ARGV > META_MAXIMUM or #field > FIELD_MAXIMUM) then
      return refuse('INVALID', 'The file has the counter ' .. quoted(field) .. ' ' .. quoted(value) .. ', which no export has.',
        'Leave that line out.')
    end
  end
  local first = not META.protocol
  call('HSETNX', KEYS[1], 'protocol', PROTOCOL_VERSION)
  for i = 5, #ARGV, 2 do
    local field, value = ARGV[i], ARGV[i + 1]
    local count = field == 'stamp' or field == 'sessions' or field:find('^published:')
    if count then -- order goes on behind both, and numbers are given once
      local here = whole(call('HGET', KEYS[1], field)) or 0
      call('HSET', KEYS[1], field, exact(math.max(here, whole(value) or 0)))
    elseif field ~= 'protocol' then
      call('HSETNX', KEYS[1], field, value)
      -- No seal is imported: what is of an older time may be seen without.
      if first and field == 'senders' then call('HSET', KEYS[1], 'senders_since', exact(NOW)) end
    end
  end
  return first and '1' or '0'
end

if part == 'presence' then
  local heartbeat = ARGV[5]:match(HEARTBEAT)
  local entry = ARGV[5]
  if heartbeat and heartbeat > NOW_ISO then -- one of the year 2099 would be active for ever
    entry = entry:gsub(HEARTBEAT, '"last_heartbeat":"' .. NOW_ISO .. '"', 1)
  end
  return tostring(call('HSETNX', key('presence'), name, entry))
end

if part == 'key' then
  local set = call('SET', key('once', name) .. ':' .. ARGV[5], ARGV[6], 'NX', 'EX', ARGV[7])
  return set and '1' or '0'
end

if part == 'queue' then
  local problem = problem_of(mail_keys(name)) or wrong_type('set', key('imported'))
  if problem then return problem end
  if #ARGV - 5 > READ_MAXIMUM then
    return refuse('INVALID', 'The queue of ' .. name .. ' has ' .. #ARGV - 5 .. ' events, more than the ' .. READ_MAXIMUM
      .. ' that export writes.', 'Use the file as export wrote it.')
  end
  if call('SADD', key('imported'), ARGV[5] .. ' ' .. name) == 0 then return '0' end
  for i = 6, #ARGV do announce(name, ARGV[i]) end
  return '1'
end

-- A message joins the timeline when all its recipients have it; until then `restored` says how many do, so that an import
-- that was interrupted goes on there.
local id, message, stamp = name, {}, stamp_of(name)
for i = 7, #ARGV, 2 do message[ARGV[i]] = ARGV[i + 1] end
if not stamp or not (message.from and message.to) then
  return refuse('INVALID', 'The message ' .. quoted(id) .. ' is not one that was exported.', 'Use the file as export wrote it.')
end
local future = too_new(stamp)
if future then return future end
local names = message.to == 'all' and names_in(message.recipients or '') or { message.to }
local begun = tonumber(ARGV[6])
local ended = math.min(begun + WRITE_MAXIMUM, #names)

local problem = problem_of({ hash = { key('msg', id) }, zset = { key('timeline'), key('dead'), key('expired') } })
  or problem_of(message_keys(message.from, message.type, message.thread, { unpack(names, begun + 1, ended) }))
if problem then return problem end
local restored = call('HGET', key('msg', id), 'restored')
if not restored and call('EXISTS', key('msg', id)) == 1 then return '' end
if tonumber(restored or 0) ~= begun then return restored or '0' end

for field, value in pairs(message) do call('HSETNX', key('msg', id), field, value) end
local score, new = exact(stamp), ' ' .. ARGV[5] .. ' '
for i = begun + 1, ended do
  local recipient = names[i]
  call('ZADD', key('inbox', recipient), score, id)
  if new:find(' ' .. recipient .. ' ', 1, true) then call('ZADD', key('unread', recipient), score, id) end
  local _, acknowledged = read_receipt(message['receipt:' .. recipient])
  local state = read_history(message['history:' .. recipient])
  if message.requires_ack == '1' and not acknowledged and state ~= 'x' and state ~= 'f' then
    call('ZADD', key('pending', recipient), score, id)
    if whole(message.ack_within) and state ~= 'd' then -- begins anew: nobody could answer meanwhile
      call('ZADD', key('deadlines'), deadline_after(message.ack_within), id .. ' ' .. recipient)
    end
  end
end
if ended < #names then
  call('HSET', key('msg', id), 'restored', ended)
  return exact(ended)
end

call('HDEL', key('msg', id), 'restored', 'looked')
if message.to == 'all' then call('HSETNX', key('msg', id), 'total', #names) end
index_message(id, score, message.from, message.type, message.thread)
local now = read_for(message.to, id) -- somebody may have acknowledged it since the step before
local open, dead, dropped = read_counts(now)
if message.to ~= 'all' and select(2, read_receipt(now.receipt)) then open = 0 end
if message.requires_ack ~= '1' or #names == 0 then open, dead, dropped = 0, 0, 0 end
place(id, open, dead, dropped)
return exact(ended)
