-- The settings of a namespace act on everyone. They stand in P:meta: the first client brings the values, and `coord settings`
-- changes them.
-- From, to, and what holds where nobody has set it; the same as in protocol.json (a test compares them).
local SETTING_BOUNDS = { retention_days = '1 36500 30', max_messages = '1 1000000000 100000', ack_attempts = '0 100 2',
  ack_interval_seconds = '1 2592000 300', presence_timeout_seconds = '1 31536000 300', loop_messages = '0 1000 50',
  loop_seconds = '1 86400 300', loop_replies = '0 100 6' }

-- A setting as it stands in P:meta; nil where it is absent, or nothing that could have been set: a namespace that holds
-- "-5" messages would refuse all, one that holds "nan" keep all.
local function setting(name, stored)
  local value = whole(stored)
  local minimum, maximum = SETTING_BOUNDS[name]:match('^(%d+) (%d+)')
  return value and value >= tonumber(minimum) and value <= tonumber(maximum) and value or nil
end

-- A setting as it acts: where nobody has set it, by its default.
local function in_force(name)
  return setting(name, call('HGET', KEYS[1], name)) or tonumber(SETTING_BOUNDS[name]:match('%d+$'))
end

-- The settings that a client would give a namespace, as HSET takes them; it sends their values in this order, separated by
-- spaces.
local function first_settings(values)
  local SETTINGS = { 'retention_days', 'max_messages', 'ack_attempts', 'ack_interval_seconds', 'presence_timeout_seconds',
    'loop_messages', 'loop_seconds', 'loop_replies', 'senders' } -- the last only where it is not "off"
  local fields = {}
  for value in values:gmatch('%S+') do
    fields[#fields + 1] = SETTINGS[#fields / 2 + 1]
    fields[#fields + 1] = value
  end
  return fields
end
