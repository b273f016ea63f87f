#!lua flags=allow-oom
-- Hands out the oldest events of the caller's queue. What was presented since by another way is passed over.
--
-- KEYS     P:meta
-- ARGV     instance limit budget
--          budget: how many bytes the events may have together ("0": no bound); one is always handed out
-- Returns  how many events remain, then the events, oldest first
-- Refuses  INTERNAL
local me, limit, budget = unpack(ARGV)
limit, budget = tonumber(limit), tonumber(budget)
local queue, unread = key('notifications', me), key('unread', me)
local problem = wrong_type('list', queue) or wrong_type('zset', unread)
if problem then return problem end

local reply, spent, full = { '0' }, 0, false
-- Ends with the queue, which is bounded.
while #reply <= limit and not full do
  local events = redis.call('LRANGE', queue, 0, limit - #reply)
  if #events == 0 then break end
  local passed = 0
  for _, event in ipairs(events) do
    local published = event:match('^{"event":"message_published","message_id":"([^"]*)"')
    if not published or redis.call('ZSCORE', unread, published) then
      spent = spent + #event
      full = budget > 0 and spent > budget and #reply > 1
      if full then break end
      reply[#reply + 1] = event
    end
    passed = passed + 1
  end
  if passed > 0 then redis.call('LPOP', queue, passed) end
end
reply[1] = tostring(redis.call('LLEN', queue))
touch(me)
return reply
