-- Which run of which agent speaks for a name, and who else would like to: its guests.

local IDS_MAXIMUM = 8 -- after so many /clear the oldest ids are forgotten; the process still tells the session
local SERVERS_MAXIMUM = 8 -- one that was killed never says that it has ended
local GUESTS_MAXIMUM = 20

local function contains(list, wanted)
  for _, value in ipairs(list or {}) do
    if value == wanted then return true end
  end
  return false
end

-- The list without a value, and with it as the newest where it is to be kept; nil where that leaves nothing.
local function renewed(list, value, maximum)
  local values = {}
  for _, other in ipairs(list or {}) do
    if other ~= value then values[#values + 1] = other end
  end
  if maximum then values[#values + 1] = value end
  while maximum and #values > maximum do table.remove(values, 1) end
  return #values > 0 and values or nil
end

-- Whether a session may still answer for its name; `gone` is the number of one whose process was found dead.
local function is_live(entry, session, gone, seconds)
  local heartbeat = session.number and not entry:find(LEFT, 1, true) and exact(session.number) ~= gone
    and entry:match(HEARTBEAT)
  return heartbeat and heartbeat > iso(NOW - seconds * 1000000) and heartbeat <= iso(NOW + AHEAD_SECONDS * 1000000) or false
end

-- Whether a surface with these facts belongs to the session: by the process of the agent, unless that holds several sessions
-- and the run is named by its id, or by the agent's own id of it. A live session with that id in another process is another
-- run, as when one conversation is resumed in two terminals.
local function is_same_run(session, facts, id, run, live)
  local known = id ~= '' and contains(session.ids, id)
  if facts.process and session.process == facts.process then
    return session.number ~= nil and (known or not session.ids or run:sub(1, 3) ~= 'id:')
  end
  return known and (not live or not (facts.process and session.process))
end

-- The guests that tried within so many seconds, by the name of their run.
local function guests_of(session, seconds)
  local guests = {}
  for run, guest in pairs(session.guests or {}) do
    if whole(guest.at) > NOW - seconds * 1000000 then guests[run] = guest end
  end
  return guests
end

-- At most so many, the newest; nil where there are none.
local function bounded_guests(guests)
  local runs = {}
  for run in pairs(guests) do runs[#runs + 1] = run end
  table.sort(runs, function(a, b) return guests[a].at > guests[b].at or (guests[a].at == guests[b].at and a < b) end)
  for i = GUESTS_MAXIMUM + 1, #runs do guests[runs[i]] = nil end
  return #runs > 0 and guests or nil
end
