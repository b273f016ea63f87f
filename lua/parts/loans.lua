-- Events are handed out as a loan, and come again unless it is confirmed.

-- The message that an event shows to its recipient, else "". Such an event is passed over once the message was presented.
local function announced_id(event)
  local kind, id = event:match('^{"event":"message_(%a+)","message_id":"([^"]*)"')
  return (kind == 'published' or kind == 'overdue') and id or ''
end

-- The keys that hold, or have handed out, events and new messages, for problem_of.
local function mail_keys(instance)
  return { list = { key('notifications', instance) }, zset = { key('unread', instance), key('loaned', instance) },
    hash = { key('loans', instance) } }
end

-- The events of a loan; what is none is dropped with it.
local function loaned_events(text)
  local ok, decoded = pcall(cjson.decode, text or '')
  local events = {}
  for _, event in ipairs(ok and type(decoded) == 'table' and decoded or {}) do
    if type(event) == 'string' then events[#events + 1] = event end
  end
  return events
end

-- Puts back events whose loan has run out, or all that are out: at the head of the queue and in their order, since
-- loans are numbered and an older one holds older events. Returns how many events are still out. Those who lend keep all that
-- is out below the bound of a queue: so this reads and writes no more than that.
local function return_loans(instance, all)
  local loans = call('HGETALL', key('loans', instance))
  if #loans == 0 then return 0 end
  local latest = NOW + LOAN_SECONDS_MAXIMUM * 1000000 -- a longer one was written by a clock that has been stepped back
  local numbers, held, out = {}, {}, 0
  for i = 1, #loans, 2 do
    local ends, events = loans[i + 1]:match('^(%d+) (.*)$')
    if all or not ends or tonumber(ends) <= NOW or tonumber(ends) > latest then
      numbers[#numbers + 1] = loans[i]
      held[loans[i]] = loaned_events(events)
    else
      out = out + #loaned_events(events)
    end
  end
  table.sort(numbers, function(a, b) return (tonumber(a) or 0) > (tonumber(b) or 0) end)
  local queue = key('notifications', instance)
  for _, number in ipairs(numbers) do
    for i = #held[number], 1, -1 do call('LPUSH', queue, held[number][i]) end
    call('HDEL', key('loans', instance), number)
  end
  if #numbers > 0 then bound_queue(queue, call('LLEN', queue)) end
  return out
end

-- The next number of a counter in P:meta. Where that holds no number, it goes on from the clock in seconds, which is more
-- than was ever given: a session that could not begin, or a hook that could not lend, would be deaf for good.
local function next_number(counter)
  local number = try('HINCRBY', KEYS[1], counter, 1)
  if type(number) == 'number' and number > 0 then return number end
  call('HSET', KEYS[1], counter, CLOCK[1])
  return call('HINCRBY', KEYS[1], counter, 1)
end

-- Holds events for a reader until it confirms them. Returns the number of the loan, "" where there are no events.
local function lend(instance, events, seconds)
  if #events == 0 then return '' end
  local loan = exact(next_number('loans'))
  call('HSET', key('loans', instance), loan, exact(NOW + seconds * 1000000) .. ' ' .. cjson.encode(events))
  return loan
end
