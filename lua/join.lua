#!lua flags=allow-oom
-- Begins a session for an instance, or renews it when it is the same run of the same agent: the same session id, or the
-- same host and process of the agent. Any other session that speaks for the name is superseded.
--
-- USES     loans
-- KEYS     P:meta
-- ARGV     instance facts id host agent_pid yield offline_seconds tell
--          facts: JSON object of what presence shows; yield: "1" joins only when nobody else is there; tell: "1" where
--          the caller can tell the agent
-- Returns  number of the session; and once per session, to the first that can tell: whether it is the first ever for the
--          name, and JSON of the session it superseded or ""
-- Refuses  SUPERSEDED, INTERNAL
local me, facts, id, host, agent_pid, yield, offline_seconds, tell = unpack(ARGV)
local IDS_MAXIMUM = 8 -- after so many /clear the oldest ids are forgotten; the process still tells the session
local problem = problem_of(mail_keys(me)) or wrong_type('set', key('reminded', me))
if problem then return problem end

local entry = ENTRY
local current = session_of(entry)
local same = agent_pid ~= '' and current.host == host and tostring(current.agent_pid) == agent_pid
for _, known in ipairs(current.ids or {}) do same = same or (id ~= '' and known == id) end
same = same and current.number ~= nil
local heartbeat = entry and entry:match(HEARTBEAT)
local there = current.number and not entry:find(LEFT, 1, true) and heartbeat
  and heartbeat > iso(NOW - offline_seconds * 1000000)

local session = cjson.decode(facts)
session.number, session.joined, session.ids = current.number, current.joined, current.ids or {}
-- Kept until somebody can tell: the server of an agent mostly joins before its hook, and has nobody to say it to.
session.news = current.news
if same then
  for name, value in pairs(current) do
    if session[name] == nil then session[name] = value end
  end
else
  if there and yield == '1' then return superseded(me, '0') end
  session.number = next_number('sessions')
  session.joined = NOW_ISO
  session.ids = {}
  current.news = nil
  session.news = { first = not current.number, superseded = there and cjson.encode(current) or nil }
  -- What the other session took and never showed is for this one, at once.
  call('DEL', key('loaned', me), key('reminded', me))
  return_loans(me, true)
end
if id ~= '' then
  local known = false
  for _, other in ipairs(session.ids) do known = known or other == id end
  if not known then session.ids[#session.ids + 1] = id end
  if #session.ids > IDS_MAXIMUM then table.remove(session.ids, 1) end
end
if #session.ids == 0 then session.ids = nil end
local news = tell == '1' and session.news or {}
if tell == '1' then session.news = nil end
keep_entry(me, presence_entry(false, cjson.encode(session)))

if not same then
  -- Wakes what waits in the superseded session, so that it learns of it now and not with the next message.
  call('PUBLISH', key('notify', me), '{"event":"session_superseded"}')
end
if not same or entry:find(LEFT, 1, true) then
  call('PUBLISH', key('events'), '{"event":"instance_joined","from":"' .. me .. '","timestamp":"' .. NOW_ISO .. '"}')
end
return { exact(session.number), news.first and '1' or '0', news.superseded or '' }
