-- Blocks: which parts of the timeline hold messages of a type, see P:type:{type} in README.md.

-- The first block of the type that ends at this stamp or later: its first stamp, its last one and its member; else nil.
local function block_from(kind, stamp)
  local block = redis.pcall('ZRANGE', key('type', kind), exact(stamp), '+inf', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
  if not block[1] then return nil end
  local last = tonumber(block[2])
  return math.min(whole(block[1]) or last, last), last, block[1]
end
