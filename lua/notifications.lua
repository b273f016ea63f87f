#!lua flags=allow-oom
-- Hands out the oldest events of the caller's queue under a lease: confirmed, they are gone; not confirmed in time, or
-- superseded, they come again (G7). What was presented since by another way is passed over.
--
-- USES     leases
-- KEYS     P:meta
-- ARGV     instance session limit budget lease_seconds confirmed
--          budget: how many bytes the events may have together ("0": no bound); one is always handed out; confirmed: the
--          lease of events that have reached the agent, so that a reader need not call twice for each ("" for none)
-- Returns  how many events remain, the lease ("" when nothing was handed out), then the events, oldest first
-- Refuses  SUPERSEDED, INTERNAL
local me, session, limit, budget, lease_seconds, confirmed = unpack(ARGV)
local problem = superseded(me, session) or event_problem(me)
if problem then return problem end
limit, budget = tonumber(limit), tonumber(budget)
local queue, unread = key('notifications', me), key('unread', me)

if confirmed ~= '' then redis.call('HDEL', key('leases', me), confirmed) end
return_leases(me, false)
local events, spent, full = {}, 0, false
-- Ends with the queue, which is bounded.
while #events < limit and not full do
  local oldest = redis.call('LRANGE', queue, 0, limit - #events - 1)
  if #oldest == 0 then break end
  local published = {}
  for i, event in ipairs(oldest) do published[i] = announced_id(event) end
  local scores = redis.call('ZMSCORE', unread, unpack(published))
  local passed = 0
  for i, event in ipairs(oldest) do
    if published[i] == '' or scores[i] then
      spent = spent + #event
      full = budget > 0 and spent > budget and #events > 0
      if full then break end
      events[#events + 1] = event
    end
    passed = passed + 1
  end
  if passed > 0 then redis.call('LPOP', queue, passed) end
end
touch(me, session)
return { tostring(redis.call('LLEN', queue)), lease_events(me, events, lease_seconds), unpack(events) }
