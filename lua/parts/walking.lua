-- Walking an index: what a filter names is a sorted set; the smallest is walked and the others are asked for each id, so that
-- a filter finds its messages without passing all that lie between.

local WALK_BATCH = 500

-- Takes the smallest out of the sets, and returns it.
local function take_smallest(sources)
  local smallest, size = 1, math.huge
  for i, source in ipairs(#sources > 1 and sources or {}) do
    local count = call('ZCARD', source)
    if count < size then smallest, size = i, count end
  end
  return table.remove(sources, smallest)
end

-- The next ids of the set whose stamps lie between the two, in the direction of reading.
local function read_on(walked, low, high, ascending, count)
  local minimum, maximum = '(' .. exact(low), '(' .. exact(high)
  if ascending then return call('ZRANGE', walked, minimum, maximum, 'BYSCORE', 'LIMIT', 0, count) end
  return call('ZRANGE', walked, maximum, minimum, 'BYSCORE', 'REV', 'LIMIT', 0, count)
end

-- Which of the ids every one of these sets holds too, and none of those it is to be `without`.
local function held_by_all(ids, sources, without)
  local held = {}
  for _, id in ipairs(ids) do held[id] = true end
  for _, source in ipairs(sources) do
    for i, score in ipairs(call('ZMSCORE', source, unpack(ids))) do held[ids[i]] = held[ids[i]] and score end
  end
  for _, source in ipairs(without or {}) do
    for i, score in ipairs(call('ZMSCORE', source, unpack(ids))) do held[ids[i]] = held[ids[i]] and not score end
  end
  return held
end
