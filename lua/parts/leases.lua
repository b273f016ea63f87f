-- Events are handed out under a lease, and come again unless it is confirmed.

-- The message that an event shows to its recipient, else "". Such an event is passed over once the message was presented.
local function announced_id(event)
  local kind, id = event:match('^{"event":"message_(%a+)","message_id":"([^"]*)"')
  return (kind == 'published' or kind == 'overdue') and id or ''
end

-- A refusal when a key that holds or has handed out events is of another type.
local function event_problem(instance)
  return wrong_type('list', key('notifications', instance)) or wrong_type('zset', key('unread', instance))
    or wrong_type('hash', key('leases', instance))
end

-- The same of events and new messages.
local function mail_problem(instance)
  return event_problem(instance) or wrong_type('zset', key('leased', instance))
end

-- The events of a lease; what is none is dropped with it.
local function lent_events(text)
  local ok, decoded = pcall(cjson.decode, text or '')
  local events = {}
  for _, event in ipairs(ok and type(decoded) == 'table' and decoded or {}) do
    if type(event) == 'string' then events[#events + 1] = event end
  end
  return events
end

-- Puts back events whose lease has run out, or all that are out: at the head of the queue and in their order, since
-- leases are numbered and an older one holds older events.
local function return_leases(instance, all)
  local leases = redis.call('HGETALL', key('leases', instance))
  if #leases == 0 then return end
  local latest = NOW + LEASE_SECONDS_MAXIMUM * 1000000 -- a longer one was written by a clock that has been stepped back
  local numbers, held = {}, {}
  for i = 1, #leases, 2 do
    local ends, events = leases[i + 1]:match('^(%d+) (.*)$')
    if all or not ends or tonumber(ends) <= NOW or tonumber(ends) > latest then
      numbers[#numbers + 1] = leases[i]
      held[leases[i]] = lent_events(events)
    end
  end
  table.sort(numbers, function(a, b) return (tonumber(a) or 0) > (tonumber(b) or 0) end)
  for _, number in ipairs(numbers) do
    for i = #held[number], 1, -1 do redis.call('LPUSH', key('notifications', instance), held[number][i]) end
    redis.call('HDEL', key('leases', instance), number)
  end
end

-- The next number of a counter in P:meta. Where that holds no number, it goes on from the clock in seconds, which is more
-- than was ever given: a session that could not begin, or a hook that could not lend, would be deaf for good.
local function next_number(counter)
  local number = redis.pcall('HINCRBY', KEYS[1], counter, 1)
  if type(number) == 'number' and number > 0 then return number end
  redis.call('HSET', KEYS[1], counter, CLOCK[1])
  return redis.call('HINCRBY', KEYS[1], counter, 1)
end

-- Holds events for a reader until it confirms them. Returns the number of the lease, "" where there are no events.
local function lease_events(instance, events, lease_seconds)
  if #events == 0 then return '' end
  local lease = exact(next_number('leases'))
  redis.call('HSET', key('leases', instance), lease,
    exact(NOW + lease_seconds * 1000000) .. ' ' .. cjson.encode(events))
  return lease
end
