#!lua flags=allow-oom
-- Lists what somebody should look after before it is dead: pending messages that wait for who is not there, and those that were
-- announced again and are still not acknowledged. A step of it; marks nothing.
--
-- USES     recipients receipts seals messages settings
-- KEYS     P:meta
-- ARGV     instance session limit cursor
--          cursor: as the step before returned it, "" at first
-- Returns  JSON object as check returns it, with the receipts, and `cursor` ("" when that was all). Steps may repeat a message. A
--          message that has just been retried, or whose recipient is back, may be among them: the receipts tell
-- Refuses  SUPERSEDED, TAKEN, INTERNAL
local me, session, limit, cursor = unpack(ARGV)
local BATCH = 100
local about = { me = me, limit = tonumber(limit), bytes = 0, receipts = 'listed' }
local problem = superseded(me, session) or problem_of({ zset = { key('pending'), key('deadlines'), key('paused') } })
if problem then return problem end

-- Two places hold them: P:paused:{instance} of each in P:paused, then the deadlines of single recipients, which are set
-- anew for the interval whenever one has passed. Outer and inner count what was passed there.
local place, outer, inner = cursor:match('^(%a+) (%d+) (%d+)$')
place, outer, inner = place or 'paused', tonumber(outer or 0), tonumber(inner or 0)
local page, seen, ended, looked = new_page(), {}, nil, 0

local function add(id)
  if seen[id] or not call('ZSCORE', key('pending'), id) then return end
  seen[id] = true
  ended = add_to_page(page, id, about)
end

-- Passes through a sorted set from `inner` on, until it or this call has come to its end.
local function pass_through(name, high, id_of)
  repeat
    local members = call('ZRANGE', name, '-inf', high, 'BYSCORE', 'LIMIT', inner, BATCH)
    for _, member in ipairs(members) do
      local id = id_of(member)
      if looked >= READ_MAXIMUM then ended = 'step' elseif id then add(id) end
      if ended then return end
      looked, inner = looked + 1, inner + 1
    end
  until #members < BATCH
end

if place == 'paused' then
  repeat
    local instance = call('ZRANGE', key('paused'), outer, outer)[1]
    if instance and type(try('ZCARD', key('paused', instance))) == 'number' then
      pass_through(key('paused', instance), '+inf', function(id) return id end)
    end
    if not ended and instance then looked, outer, inner = looked + 1, outer + 1, 0 end
  until ended or not instance
  if not ended then place, outer, inner = 'deadlines', 0, 0 end
end
if place == 'deadlines' then
  -- One that runs longer is the message's own, and begun anew.
  local soon = deadline_after(in_force('ack_interval_seconds') + 60)
  pass_through(key('deadlines'), soon, function(member) return member:match('^(%S+) ') end)
end
touch(me, session)
return json_page({ more = ended == 'full', step = ended == 'step', examined = looked,
  cursor = ended and place .. ' ' .. outer .. ' ' .. inner or '' }, page)
