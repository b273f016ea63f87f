#!lua flags=allow-oom
-- Begins a session for an instance, or renews it when it is the same run of the same agent. While another session speaks
-- for the name, only a start supersedes it; whoever yields is a guest, and tries again.
--
-- USES     loans sessions
-- KEYS     P:meta
-- ARGV     instance facts id run surface mode named gone offline_seconds alive_seconds tell
--          facts: JSON object of what presence shows, and process, machine, work_tree; run: names the run among the guests;
--          surface: "hook", "server <pid>", or "" for another one; mode: "start" supersedes, "yield" joins when nobody live
--          speaks; named: where the name comes from, "option", "environment" or ""; gone: the number of a session whose
--          process the caller has found dead; offline_seconds: when a session whose process lives is over for want of
--          heartbeats, alive_seconds: when another is; tell: "1" where the caller can tell the agent
-- Returns  JSON object: number (of the session, as text); once per session, to the first that can tell, first (where it is the
--          first ever for the name) and superseded (that session, as JSON). Where another speaks: code, error, hint, and
--          speaker, that session as JSON
-- Refuses  INTERNAL
local me, facts, id, run, surface, mode, named, gone, offline_seconds, alive_seconds, tell = unpack(ARGV)
local problem = problem_of(mail_keys(me)) or wrong_type('set', key('reminded', me))
if problem then return problem end

local entry = ENTRY
local current = session_of(entry)
local session = cjson.decode(facts)
local here = current.host == session.host and current.machine == session.machine
local live = is_live(entry, current, gone, here and current.process and offline_seconds or alive_seconds)
local same = is_same_run(current, session, id, run, live)
local guests = guests_of(current, offline_seconds)
local known = guests[run]

if not same and live then
  -- Elsewhere the same name is mostly a mistake, unless somebody has given it by hand.
  local by_hand = named == 'option' or (named == 'environment' and not here)
  local own_tree = here and (current.work_tree or current.cwd) == (session.work_tree or session.cwd)
  -- A server whose hook was told that another speaks must not take the name behind its back.
  if mode ~= 'start' or not (own_tree or by_hand) or (known and known.hook) then
    if run ~= '' then
      guests[run] = { at = NOW_TEXT, hook = (known and known.hook) or surface == 'hook' or nil,
        superseded = known and known.superseded or nil, ids = known and known.ids or nil }
    end
    current.guests = bounded_guests(guests)
    keep_session(me, entry, current)
    local code, sentence, hint = refusal_to_guest(me, current, known and known.superseded)
    return cjson.encode({ code = code, error = sentence, hint = hint, speaker = cjson.encode(current) })
  end
end

session.number, session.joined, session.ids = current.number, current.joined, current.ids or {}
-- Kept until somebody can tell: the server of an agent mostly joins before its hook, and has nobody to say it to.
session.news = current.news
if same then
  -- The resumed conversation of a process that was killed: nothing of that process is true any more.
  if exact(current.number) == gone then current.process, current.agent_pid = nil, nil end
  for name, value in pairs(current) do
    if session[name] == nil then session[name] = value end
  end
else
  session.number = next_number('sessions')
  session.joined = NOW_ISO
  session.ids = {}
  current.news, current.guests = nil, nil
  session.news = { first = not current.number, superseded = live and cjson.encode(current) or nil }
  if live and current.run then
    guests[current.run] = { at = NOW_TEXT, hook = current.hooks, superseded = true, ids = current.ids }
  end
  -- What the other session took and never showed is for this one, at once.
  call('DEL', key('loaned', me), key('reminded', me))
  return_loans(me, true)
end
guests[run] = nil
session.run = run ~= '' and run or nil
session.guests = bounded_guests(guests)
session.hooks = session.hooks or surface == 'hook' or nil
local server = surface:match('^server (.*)$')
if server then session.servers = renewed(session.servers, server, SERVERS_MAXIMUM) end
-- In its place where it is known: the newest is the one that was new last.
if id ~= '' and not contains(session.ids, id) then session.ids = renewed(session.ids, id, IDS_MAXIMUM) end
if session.ids and #session.ids == 0 then session.ids = nil end
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
return cjson.encode({ number = exact(session.number), first = news.first or nil, superseded = news.superseded })
