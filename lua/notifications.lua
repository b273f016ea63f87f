#!lua flags=allow-oom
-- Hands out the oldest events of the caller's queue as a loan: confirmed, they are gone; not confirmed in time, or
-- superseded, they come again (G7). What was presented since by another way is passed over.
--
-- USES     loans
-- KEYS     P:meta
-- ARGV     instance session limit bytes loan_seconds confirmed look
--          bytes: how many the events may have together ("0": no bound); one is always handed out; confirmed: the
--          loan of events that have reached the agent, so that a reader need not call twice for each ("" for none);
--          look: as looks() takes it, "" hands out
-- Returns  JSON object: remaining (events), loan ("" when nothing was handed out), looking (only where the caller looks), events
--          (JSON texts, oldest first)
-- Refuses  SUPERSEDED, TAKEN, INTERNAL
local me, session, limit, bytes, loan_seconds, confirmed, look = unpack(ARGV)
local problem = superseded(me, session) or problem_of(mail_keys(me))
if problem then return problem end
local queue, unread = key('notifications', me), key('unread', me)
local looking = looks(look, session)

-- Also where nothing is confirmed: the Redis user of another instance may not, and is refused before it has taken anything.
if confirmed ~= '' or not looking then call('HDEL', key('loans', me), confirmed) end
limit, bytes = tonumber(limit), tonumber(bytes)
if not looking then limit = math.min(limit, QUEUE_EVENTS_MAXIMUM - return_loans(me, false)) end
local events, spent, full, skipped = {}, 0, false, 0
-- Ends with the queue, which is bounded.
while #events < limit and not full do
  local oldest = call('LRANGE', queue, skipped, skipped + limit - #events - 1)
  if #oldest == 0 then break end
  local published = {}
  for i, event in ipairs(oldest) do published[i] = announced_id(event) end
  local scores = call('ZMSCORE', unread, unpack(published))
  local passed = 0
  for i, event in ipairs(oldest) do
    if published[i] == '' or scores[i] then
      spent = spent + #event
      full = bytes > 0 and spent > bytes and #events > 0
      if full then break end
      events[#events + 1] = event
    end
    passed = passed + 1
  end
  if looking then skipped = skipped + passed
  elseif passed > 0 then call('LPOP', queue, passed) end
end
if not looking then touch(me, session) end
return cjson.encode({ remaining = call('LLEN', queue) - skipped, loan = looking and '' or lend(me, events, loan_seconds),
  looking = looking and true or nil }):sub(1, -2) .. ',"events":' .. (#events == 0 and '[]' or cjson.encode(events)) .. '}'
