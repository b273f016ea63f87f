std = "lua51"
max_line_length = 130

-- A verb runs behind the prelude, whose local names it sees.
local shared = { "redis", "cjson", "KEYS", "ARGV" }
for line in io.lines("lua/prelude.lua") do
  shared[#shared + 1] = line:match("^local function ([%w_]+)") or line:match("^local ([%w_]+) =")
end
read_globals = shared

-- Some of what the prelude offers is used by other verbs only.
files["lua/prelude.lua"] = { ignore = { "211", "431" } }
