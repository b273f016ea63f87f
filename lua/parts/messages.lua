-- Messages as their readers are given them.

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

-- What a message adds to a result of bounded size: its texts as JSON, the rest of it, and its receipts.
local function size_of(message, cut)
  -- Of receipts 50 are listed, each with the beginning of its comment.
  local size = 300 + #cjson.encode({ message[7], message[8]:sub(1, cut) })
  for i = 2, message[12] and math.min(#message[12], 150) or 0, 3 do
    size = size + 170 + #cjson.encode(message[12][i]:sub(1, 240)) + 4 * #message[12][i + 1]
  end
  return size
end

-- One string instead of nested arrays, which clients decode three times slower. Strings and false only: cjson prints
-- large numbers rounded.
local function json_list(list)
  return #list == 0 and '[]' or cjson.encode(list)
end
