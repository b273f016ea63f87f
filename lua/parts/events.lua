-- What instances are told: events, queued for each.

-- Queues one event for an instance, online or not.
local function queue_event(instance, event)
  local queue = key('notifications', instance)
  bound_queue(queue, call('RPUSH', queue, event))
end

-- Queues it, and wakes whoever listens for the instance.
local function announce(instance, event)
  queue_event(instance, event)
  call('PUBLISH', key('notify', instance), event)
end

-- What tells a recipient of a message, at first and when it is announced again.
local function published_event(id, kind, from, to, subject, requires_ack, timestamp, reply_to, acknowledged)
  return '{"event":"message_published","message_id":"' .. id .. '","type":"' .. kind .. '","from":"' .. from
    .. '","to":"' .. to .. '","subject":' .. cjson.encode(subject) .. ',"requires_ack":'
    .. (requires_ack == '1' and 'true' or 'false') .. ',"timestamp":"' .. timestamp .. '"'
    .. (reply_to and ',"reply_to":' .. cjson.encode(reply_to) or '') .. (acknowledged and ',"acknowledged":true' or '') .. '}'
end

-- What tells the sender of a message, as read_for() reads it, that `instance` has acknowledged it; `outside` of its session.
local function acknowledged_event(id, message, instance, comment, outside)
  local event = '{"event":"message_acknowledged","message_id":' .. cjson.encode(id) .. ',"type":'
    .. cjson.encode(message.type or '') .. ',"from":"' .. instance .. '","to":"' .. message.from .. '","subject":'
    .. cjson.encode(message.subject or '') .. ',"requires_ack":false,"timestamp":"' .. NOW_ISO .. '"'
  return event .. (comment ~= '' and ',"comment":' .. cjson.encode(comment) or '') .. (outside and ',"outside":true' or '') .. '}'
end

-- What is said of a message, as read_for() reads it, whose deadline has passed: "overdue" to its recipient, the rest to its
-- sender, about `instances`.
local function reminder_event(what, id, message, instances)
  local INSTANCES_LISTED = 50
  local event = '{"event":"message_' .. what .. '","message_id":' .. cjson.encode(id) .. ',"type":'
    .. cjson.encode(message.type or '') .. ',"from":' .. cjson.encode(message.from or '') .. ',"to":'
    .. cjson.encode(message.to or '') .. ',"subject":' .. cjson.encode(message.subject or '') .. ',"requires_ack":'
    .. tostring(not instances) .. ',"timestamp":"' .. NOW_ISO .. '","waiting_seconds":' .. exact(waiting_seconds(id))
  if not instances then return event .. '}' end
  local listed = {}
  for i = 1, math.min(#instances, INSTANCES_LISTED) do listed[i] = instances[i] end
  return event .. ',"instances":' .. cjson.encode(listed) .. ',"instances_total":' .. #instances .. '}'
end

-- Tells the sender of a message what became of it, and the world.
local function tell_sender(message, event)
  if message.from and not wrong_type('list', key('notifications', message.from)) then announce(message.from, event) end
  call('PUBLISH', key('events'), event)
end
