-- Messages as their readers are given them, by the names that every surface shows.

local RECEIPTS_LISTED = 50
local RECEIPTS_BATCH = 100
-- What one answer holds: more would keep everybody else waiting while it is put together. All of it may be new, and is marked.
local PAGE_MESSAGES = WRITE_MAXIMUM
local STEP_BYTES = 1048576 -- of texts
local RECEIPT_UNITS = 20 -- what it takes to show a receipt, with its history, in those that are only looked at

-- What this call has read so far, in messages and receipts.
local units_read = 0

-- Why a receipt is dead: how long it was waited for since it was sent, or retried, and with how many reminders.
local function reason_of(id, instance, history)
  if history:find('f%d+$') then return instance .. ' was forgotten.' end
  local _, since = read_history(history)
  local retried = whole(history:match('.*r(%d+)'))
  local begun, died = retried or stamp_of(id), whole(history:match('(%d+)$'))
  if not begun or not died then return 'Not acknowledged in time.' end
  local reminders = select(2, since:gsub('a%d', ''))
  return string.format('Not acknowledged in the %.0f seconds after it was %s, with %d %s.',
    math.floor((died - begun) / 1000000 + 0.5), retried and 'retried' or 'sent', reminders,
    reminders == 1 and 'reminder' or 'reminders')
end

-- The state of one receipt as everybody is shown it.
local function receipt_of(id, instance, stored, history)
  local presented, acknowledged, comment, outside = read_receipt(stored or '')
  local last = read_history(history)
  local ended = (last == 'd' or last == 'f') and 'dead' or last == 'x' and 'dropped'
  local receipt = { instance = instance,
    state = acknowledged and 'acknowledged' or ended or presented and 'presented' or 'stored' }
  if presented then receipt.presented_at = shown_time(presented) end
  if acknowledged then receipt.acknowledged_at = shown_time(acknowledged) end
  if comment and comment ~= '' then receipt.comment = comment end
  if outside then receipt.outside = true end
  if receipt.state == 'dead' then receipt.reason = reason_of(id, instance, history) end
  if not history then return receipt end
  local STEPS = { a = 'announced', o = 'offline', t = 'unanswered', d = 'dead', r = 'retried', x = 'dropped', f = 'forgotten' }
  for letter, time in history:gmatch('(%a)(%d+)') do
    if STEPS[letter] then
      receipt.history = receipt.history or {}
      table.insert(receipt.history, { step = STEPS[letter], timestamp = shown_time(time) })
    end
  end
  return receipt
end

-- The receipts of these recipients, those who are missing first, since that is what the sender looks for; of whom has
-- acknowledged only where `everyone` is asked for, else no more than are listed; whether acknowledgements are proven only where
-- `proves`. Nil where this call has read too much for them.
local function receipts_of(id, names, everyone, proves)
  local receipts, alone = {}, units_read <= 1
  for first = 1, #names, RECEIPTS_BATCH do
    local fields = {}
    for i = first, math.min(first + RECEIPTS_BATCH - 1, #names) do
      fields[#fields + 1] = 'receipt:' .. names[i]
      fields[#fields + 1] = 'history:' .. names[i]
    end
    local values = call('HMGET', key('msg', id), unpack(fields))
    units_read = units_read + #fields / 2
    if units_read > READ_MAXIMUM and not alone then return nil end
    for i = 1, #values, 2 do
      local name = fields[i]:sub(#'receipt:' + 1)
      local receipt = receipt_of(id, name, values[i], values[i + 1])
      if proves and receipt.state == 'acknowledged' then
        local _, time, comment, outside = read_receipt(values[i])
        receipt.proven = SEALS.proves_receipt(name, id, time, comment, outside)
      end
      if everyone or receipt.state ~= 'acknowledged' then receipts[#receipts + 1] = receipt end
    end
    units_read = units_read + (RECEIPT_UNITS - 1) * #values / 2
    if not everyone and #receipts >= RECEIPTS_LISTED then break end
  end
  local RANKS = { dead = 1, stored = 2, presented = 3, dropped = 4, acknowledged = 5 }
  table.sort(receipts, function(a, b)
    if a.state ~= b.state then return RANKS[a.state] < RANKS[b.state] end
    return a.instance < b.instance
  end)
  for i = #receipts, everyone and #receipts + 1 or RECEIPTS_LISTED + 1, -1 do receipts[i] = nil end
  return receipts
end

-- Adds to `more` who has the message: of a broadcast in a list the numbers and at most 50 receipts, all where there are no more,
-- else the first that are missing; or all of them. Returns nil where this call has read too much for them.
local function add_receipts(more, id, to, whole_list)
  if to ~= 'all' then
    more.receipts = receipts_of(id, { to }, true, SEALS and whole_list)
    return more.receipts
  end
  local values = call('HMGET', key('msg', id), 'total', 'open', 'dead', 'dropped')
  local total, open = whole(values[1]) or 0, whole(values[2]) or 0
  if not whole_list then
    more.receipt_totals = { recipients = total, acknowledged = total - open, dead = whole(values[3]) or 0,
      dropped = whole(values[4]) or 0 }
  end
  local everyone = whole_list or total <= RECEIPTS_LISTED
  local receipts = receipts_of(id, (everyone or open > 0) and recipients_of(id, 'all') or {}, everyone,
    SEALS and whole_list)
  if receipts and #receipts > 0 then more.receipts = receipts end -- cjson would write none as an object
  return receipts
end

-- A message as clients take it: what all have, in this order, and behind it an object of what only some have, or false. As
-- objects throughout, a check of 20 took a fifth longer.
local ID = 1
local SUBJECT = 7
local DESCRIPTION = 8
local ACKNOWLEDGED = 9
local MORE = 10
local MESSAGE_FIELDS = { 'id', 'type', 'from', 'to', 'timestamp', 'requires_ack', 'subject', 'description', 'reply_to', 'thread',
  'receipt:' .. ARGV[1], 'history:' .. ARGV[1], 'outside', 'via' } -- every verb that loads messages names its reader first

-- One message as its reader `me` may see it, with receipts where `me` sent it or `receipts` asks for them: "listed", or "whole".
-- Second, whether `me` is a recipient that sees it for the first time, or after it was announced again. When it cannot be read:
-- nil and the reason, so that one broken message never hides the others; nil and no reason where the next call has to read it.
local function load_message(id, me, receipts)
  units_read = units_read + 1
  local message = try('HMGET', key('msg', id), unpack(MESSAGE_FIELDS))
  if message.err then return nil, 'the key holds another type' end
  for i = ID, DESCRIPTION do
    if not message[i] then
      local exists = call('EXISTS', key('msg', id)) == 1
      return nil, exists and 'the field ' .. MESSAGE_FIELDS[i] .. ' is missing' or 'the message is gone'
    end
  end
  local _, _, from, to, _, requires_ack, _, _, reply_to, thread, receipt, history, outside, via = unpack(message)
  local proven
  if SEALS then
    units_read = units_read + 1
    proven = SEALS.proves(id, from)
    if not proven and SEALS.hides(id) then
      return nil, 'its sender is not proven: ' .. from .. ' has not written it, or not so'
    end
  end
  local mine = me ~= '' and is_recipient(me, id, to)
  local announced = mine and history and history:find('[ar]')
  local presented, acknowledged, acknowledged_outside, _
  if mine then
    presented, acknowledged, _, acknowledged_outside = read_receipt(receipt)
  elseif to ~= 'all' then
    presented, acknowledged = read_receipt(call('HGET', key('msg', id), 'receipt:' .. to))
  else
    acknowledged = whole(call('HGET', key('msg', id), 'open')) == 0
  end
  local waits = announced and not acknowledged
  local has_receipts = receipts or from == me
  local more = (reply_to or thread or outside or via or acknowledged_outside or waits or has_receipts or SEALS)
    and { reply_to = reply_to or nil, thread = thread or nil, outside = outside and true or nil, via = via or nil,
      acknowledged_outside = acknowledged_outside or nil, proven = proven,
      waiting_seconds = waits and waiting_seconds(id) or nil }
  if has_receipts and not add_receipts(more, id, to, receipts == 'whole') then return nil end
  message[6], message[ACKNOWLEDGED], message[MORE] = requires_ack == '1', acknowledged and true or false, more or false
  message[11], message[12], message[13], message[14] = nil, nil, nil, nil
  return message, mine and (not presented or waits)
end

-- What a message adds to a result of bounded size: its texts as JSON, the rest of it, and its receipts, each with the
-- beginning of its comment.
local function size_of(message, description_bytes)
  local size = 300 + #cjson.encode({ message[SUBJECT], message[DESCRIPTION]:sub(1, description_bytes) })
  for _, receipt in ipairs(message[MORE] and message[MORE].receipts or {}) do
    size = size + 170 + #cjson.encode((receipt.comment or ''):sub(1, 240)) + 120 * #(receipt.history or {})
  end
  return size
end

-- Messages for one answer, until it holds as many, as much text, or what one call may read and write. `about` is what they
-- are for: me, limit, bytes (0: no bound) and description_bytes as in check, receipts as in load_message; continued where
-- earlier calls have something in the same answer.
local function new_page()
  return { messages = {}, unreadable = {}, presented = {}, bytes = 0, text = 0 }
end

-- Adds one to the page. Returns nil where it is on it, "full" where the reader asked for no more, "step" where another call
-- has to read on.
local function add_to_page(page, id, about)
  local count = #page.messages + #page.unreadable
  if count >= about.limit then return 'full' end
  if units_read >= READ_MAXIMUM or count >= PAGE_MESSAGES or page.text >= STEP_BYTES then return 'step' end
  local message, new = load_message(id, about.me, about.receipts)
  if not message and not new then return 'step' end
  if about.bytes > 0 then
    local bytes = page.bytes + (message and size_of(message, about.description_bytes) or 100 + #id + #new)
    if bytes > about.bytes and (count > 0 or about.continued) then return 'full' end
    page.bytes = bytes
  end
  if message then
    page.text = page.text + #message[DESCRIPTION]
    page.messages[#page.messages + 1] = message
    if new then page.presented[#page.presented + 1] = id end
  else
    page.unreadable[#page.unreadable + 1] = { id = id, reason = new }
  end
  return nil
end

-- A list as JSON: cjson writes an empty table as an object.
local function json_list(list)
  return #list == 0 and '[]' or cjson.encode(list)
end

-- A page as clients take it: `head`, the names and values of what is said about it, then the messages.
local function json_page(head, page)
  head.bytes = page.bytes
  return cjson.encode(head):sub(1, -2) .. ',"messages":' .. json_list(page.messages) .. ',"unreadable":'
    .. json_list(page.unreadable) .. '}'
end
