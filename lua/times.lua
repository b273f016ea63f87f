#!lua flags=allow-oom
-- Tells when messages were sent, newest first, and how long each recipient took to be shown and to acknowledge them; a step of
-- it. Marks nothing.
--
-- USES     recipients receipts walking
-- KEYS     P:meta
-- ARGV     instance session seconds cursor
--          seconds: those sent within so many; cursor: as the step before returned it, "" at first
-- Returns  JSON object: cursor ("" when that was all), examined (messages and recipients), messages: of each its type, when it
--          was sent (milliseconds), whether it asks for an acknowledgement, and its recipients: the name, and after how many
--          milliseconds it was presented to it and acknowledged, each -1 where it was not
-- Refuses  SUPERSEDED, TAKEN, INTERNAL
local me, session, seconds, cursor = unpack(ARGV)
local BATCH = 200
local MESSAGE_UNITS = 4 -- to find its receipts takes as long as to read so many
local problem = superseded(me, session) or problem_of({ zset = { key('timeline') } })
if problem then return problem end

local function milliseconds(from, to)
  return to and whole(to) and math.max(0, math.floor((tonumber(to) - from) / 1000)) or -1
end

local oldest, before, messages = NOW - tonumber(seconds) * 1000000, tonumber(cursor) or math.huge, {}
local examined, units = 0, 0

local function add(id, stamp)
  local values = try('HMGET', key('msg', id), 'type', 'to', 'requires_ack')
  if values.err or not values[1] or not values[2] then return true end
  local names, fields, recipients = recipients_of(id, values[2]), {}, {}
  if units > 0 and units + #names > READ_MAXIMUM then return false end
  for i, name in ipairs(names) do fields[i] = 'receipt:' .. name end
  local receipts = #names > 0 and call('HMGET', key('msg', id), unpack(fields)) or {}
  for i, name in ipairs(names) do
    local presented, acknowledged = read_receipt(receipts[i] or nil)
    recipients[i] = { name, milliseconds(stamp, presented), milliseconds(stamp, acknowledged) }
  end
  examined, units = examined + #names, units + #names
  if #names > 0 then
    messages[#messages + 1] = { values[1], math.floor(stamp / 1000), values[3] == '1', recipients }
  end
  return true
end

local ended
repeat
  local ids = read_on(key('timeline'), oldest, before, false, BATCH)
  for _, id in ipairs(ids) do
    local stamp = stamp_of(id)
    if units >= READ_MAXIMUM or (stamp and not add(id, stamp)) then ended = 'step' break end
    examined, units, before = examined + 1, units + MESSAGE_UNITS, stamp or before
  end
  if #ids < BATCH then ended = ended or 'all' end
until ended
touch(me, session)
local reply = { cursor = ended == 'step' and exact(before) or '', examined = examined }
if #messages > 0 then reply.messages = messages end
return cjson.encode(reply)
