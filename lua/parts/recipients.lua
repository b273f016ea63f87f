-- For whom a message is.

-- The name of the people behind the agents, as in protocol.json: they see broadcasts in the page, and nobody waits for them.
local OPERATOR = 'operator'

-- Whether the message is addressed to the instance; a broadcast is, exactly when it is in the inbox.
local function is_recipient(instance, id, to)
  return to == instance or (to == 'all' and type(try('ZSCORE', key('inbox', instance), id)) == 'string')
end

-- Names, as they stand in `recipients` of a broadcast.
local function names_in(text)
  local names = {}
  for name in text:gmatch('%S+') do names[#names + 1] = name end
  return names
end

-- The recipients of a message by name.
local function recipients_of(id, to)
  return to == 'all' and names_in(call('HGET', key('msg', id), 'recipients') or '') or { to }
end

-- Everybody seen since then but oneself, whatever the presence: their names, and the presence entry of each; nil and how many
-- they are, where they are too many.
local function everybody_else(me, since)
  local names, entries = {}, {}
  -- Who is known but was not seen for so long is none; of twice as many as may be recipients nobody reads through them.
  local known = call('HLEN', key('presence'))
  local seen = known <= 2 * RECIPIENTS_MAXIMUM and call('HGETALL', key('presence')) or {}
  for i = 1, #seen, 2 do
    local name, heartbeat = seen[i], seen[i + 1]:match(HEARTBEAT)
    -- What is no name nobody can have; with a space in it, the list of recipients could not be read again.
    local named = name:find('^%w[%w._-]*$') and #name <= 64
    if named and name ~= me and name ~= OPERATOR and (not heartbeat or heartbeat >= since) then
      names[#names + 1], entries[#entries + 1] = name, seen[i + 1]
    end
  end
  known = #seen > 0 and #names or known
  if known > RECIPIENTS_MAXIMUM then return nil, known end
  return names, entries
end
