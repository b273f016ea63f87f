-- What an agent does, as the events of its host tell.

-- Keeps the caller's presence, as touch does, and what it does from now on: "working", "idle" or "waiting" for a person.
-- Only the session that speaks says so, and not one that has left.
local function keep_doing(instance, session, doing)
  -- Each time that it waits is another one, and has its own time.
  local told = doing ~= 'waiting' and ENTRY and ENTRY:find('"doing":"' .. doing .. '"', 1, true)
  if told or not ENTRY or ENTRY:find(LEFT, 1, true) or not is_session(ENTRY, session) then
    return touch(instance, session)
  end
  local current = session_of(ENTRY)
  current.doing, current.doing_at = doing, NOW_ISO
  keep_entry(instance, presence_entry(false, cjson.encode(current)))
end

-- So long a waker's place is kept after it last looked, which it does each 30 seconds: one that was killed does not count for
-- longer.
local WAKER_SECONDS = 90
-- So long after its turn has ended an agent has its waker, where it gets one.
local WAKER_COMES_SECONDS = 10

-- Whether an agent has ended its turn and learns of a message only at its next prompt: it has no waker, and no channel rings.
local function is_asleep(name, entry)
  if not entry:find('"doing":"idle"', 1, true) or entry:find(LEFT, 1, true) then return false end
  local since = entry:match('"doing_at":"([^"]*)"')
  return since ~= nil and since < iso(NOW - WAKER_COMES_SECONDS * 1000000) and not entry:find('"channel":true', 1, true)
    and call('EXISTS', key('waker', name)) == 0
end
