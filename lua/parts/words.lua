-- Words in messages: subject, description, and the comments of those who have acknowledged.

-- What one call looks through: so many messages, and so many bytes of texts, counted once for each word that is looked for.
local TEXTS_MAXIMUM = 250
local SEARCHED_BYTES_MAXIMUM = 262144
local COMMENTS_BATCH = 50

-- What this call has looked through so far.
local texts_read = 0
local bytes_searched = 0
local receipts_read = 0

local function has_searched_enough()
  return bytes_searched >= SEARCHED_BYTES_MAXIMUM or receipts_read + units_read >= READ_MAXIMUM
end

-- What is looked for in a message: `needles` are the words in small letters, `needed` whether each has to be there or must not,
-- `broadcasts` whether the message has to have gone to all, or must not. `cursor` says how far the call before came with the
-- message at which it ended: that it matches, or behind how many recipients it was, and which words were found until there.
local function new_words(cursor)
  local passed, found, half_way = cursor:match('^looked (%d+) ([01]*) (.*)$')
  return { needles = {}, needed = {}, broadcasts = {}, matched = cursor:match('^matched (.*)$'),
    half_way = half_way, passed = tonumber(passed), found = found }
end

-- Notes which of the words that were not found yet stand in this text. In Redis `lower` knows the letters of ASCII only.
local function look_into(text, words, found)
  local lowered
  for i, needle in ipairs(words.needles) do
    if not found[i] then
      lowered = lowered or text:lower()
      bytes_searched = bytes_searched + #text
      found[i] = lowered:find(needle, 1, true) and true or false
    end
  end
end

local function look_into_comment(receipt, words, found)
  local _, _, comment = read_receipt(receipt)
  if comment and comment ~= '' then look_into(comment, words, found) end
end

-- Whether the message is what is looked for, as far as what was found decides it: nil while what is left to look into may. At
-- the `end_of_texts` nothing is left.
local function verdict_on(words, found, end_of_texts)
  local open = false
  for i, needed in ipairs(words.needed) do
    if found[i] and not needed then return false end
    if needed and not found[i] and end_of_texts then return false end
    open = open or not found[i]
  end
  if open and not end_of_texts then return nil end
  return true
end

-- The same once the comments on a broadcast are looked into, from behind so many recipients on; nil and a cursor where the
-- next call has to look on.
local function verdict_on_comments(id, words, found, passed)
  -- Where nobody has acknowledged, nobody has commented.
  local total, open = unpack(call('HMGET', key('msg', id), 'total', 'open'))
  local names = total == open and {} or recipients_of(id, 'all')
  for first = passed + 1, #names, COMMENTS_BATCH do
    if has_searched_enough() then
      local bits = {}
      for i = 1, #words.needles do bits[i] = found[i] and '1' or '0' end
      return nil, 'looked ' .. first - 1 .. ' ' .. table.concat(bits) .. ' ' .. id
    end
    local fields = {}
    for i = first, math.min(first + COMMENTS_BATCH - 1, #names) do fields[#fields + 1] = 'receipt:' .. names[i] end
    receipts_read = receipts_read + #fields
    for _, receipt in ipairs(call('HMGET', key('msg', id), unpack(fields))) do look_into_comment(receipt, words, found) end
    local verdict = verdict_on(words, found)
    if verdict ~= nil then return verdict end
  end
  return verdict_on(words, found, true)
end

-- Whether the message has the words; nil and a cursor where the next call has to look on. One that cannot be read has them:
-- whoever loads it learns why.
local function has_words(id, words)
  if id == words.matched or #words.needles + #words.broadcasts == 0 then return true end
  local found = {}
  if id == words.half_way then
    for i = 1, #words.needles do found[i] = words.found:sub(i, i) == '1' end
    return verdict_on_comments(id, words, found, words.passed)
  end
  texts_read = texts_read + 1
  local message = try('HMGET', key('msg', id), 'to', 'subject', 'description')
  if message.err or not (message[1] and message[2] and message[3]) then return true end
  local to = message[1]
  for _, wanted in ipairs(words.broadcasts) do
    if (to == 'all') ~= wanted then return false end
  end
  look_into(message[2], words, found)
  look_into(message[3], words, found)
  local verdict = verdict_on(words, found)
  if verdict ~= nil then return verdict end
  if to == 'all' then return verdict_on_comments(id, words, found, 0) end
  look_into_comment(call('HGET', key('msg', id), 'receipt:' .. to), words, found)
  return verdict_on(words, found, true)
end
