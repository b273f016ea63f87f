-- What instances are told: events, queued for each, and handed out under a lease.

-- Queues one event for an instance, online or not, and wakes whoever listens for it. A full queue keeps the newest
-- events and says at its head how many went; the inbox still has their messages.
local function queue_event(instance, event)
  local queue = key('notifications', instance)
  if redis.call('RPUSH', queue, event) > QUEUE_EVENTS_MAXIMUM then
    local oldest = redis.call('LPOP', queue, 2)
    local earlier = oldest[1]:match('^{"event":"events_skipped","count":(%d+)}$')
    redis.call('LPUSH', queue, string.format('{"event":"events_skipped","count":%.0f}', earlier and earlier + 1 or 2))
  end
  redis.call('PUBLISH', key('notify', instance), event)
end

-- The message that an event shows to its recipient, else "". Such an event is passed over once the message was presented.
local function announced_id(event)
  local kind, id = event:match('^{"event":"message_(%a+)","message_id":"([^"]*)"')
  return (kind == 'published' or kind == 'overdue') and id or ''
end

-- What tells a recipient of a message, at first and when it is announced again.
local function published_event(id, kind, from, to, subject, requires_ack, timestamp, reply_to, acknowledged)
  return '{"event":"message_published","message_id":"' .. id .. '","type":"' .. kind .. '","from":"' .. from
    .. '","to":"' .. to .. '","subject":' .. cjson.encode(subject) .. ',"requires_ack":'
    .. (requires_ack == '1' and 'true' or 'false') .. ',"timestamp":"' .. timestamp .. '"'
    .. (reply_to and ',"reply_to":' .. cjson.encode(reply_to) or '') .. (acknowledged and ',"acknowledged":true' or '') .. '}'
end

local function acknowledged_event(id, kind, from, to, subject, comment)
  local event = '{"event":"message_acknowledged","message_id":' .. cjson.encode(id) .. ',"type":' .. cjson.encode(kind)
    .. ',"from":"' .. from .. '","to":"' .. to .. '","subject":' .. cjson.encode(subject)
    .. ',"requires_ack":false,"timestamp":"' .. NOW_ISO .. '"'
  return event .. (comment ~= '' and ',"comment":' .. cjson.encode(comment) or '') .. '}'
end

-- What is said of a message whose deadline has passed: "overdue" to its recipient, the rest to its sender, about `instances`.
local function reminder_event(what, id, kind, from, to, subject, instances)
  local INSTANCES_LISTED = 50
  local event = '{"event":"message_' .. what .. '","message_id":' .. cjson.encode(id) .. ',"type":' .. cjson.encode(kind)
    .. ',"from":' .. cjson.encode(from) .. ',"to":' .. cjson.encode(to) .. ',"subject":' .. cjson.encode(subject)
    .. ',"requires_ack":' .. tostring(not instances) .. ',"timestamp":"' .. NOW_ISO .. '","waiting_seconds":'
    .. waiting_seconds(id)
  if not instances then return event .. '}' end
  local listed = {}
  for i = 1, math.min(#instances, INSTANCES_LISTED) do listed[i] = instances[i] end
  return event .. ',"instances":' .. cjson.encode(listed) .. ',"instances_total":' .. #instances .. '}'
end

-- A refusal when a key that holds or has handed out events or new messages is of another type.
local function event_problem(instance)
  return wrong_type('list', key('notifications', instance)) or wrong_type('zset', key('unread', instance))
    or wrong_type('hash', key('leases', instance)) or wrong_type('zset', key('leased', instance))
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

-- Holds events for a reader until it confirms them. Returns the number of the lease, "" where there are no events.
local function lease_events(instance, events, lease_seconds)
  if #events == 0 then return '' end
  local lease = exact(next_number('leases'))
  redis.call('HSET', key('leases', instance), lease,
    exact(NOW + lease_seconds * 1000000) .. ' ' .. cjson.encode(events))
  return lease
end
