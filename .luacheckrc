std = "lua51"
max_line_length = 130

-- A verb runs behind the prelude and its parts, whose local names it sees.
local shared = { "redis", "cjson", "KEYS", "ARGV" }
for file in io.popen("ls lua/prelude.lua lua/parts/*.lua"):lines() do
  for line in io.lines(file) do
    shared[#shared + 1] = line:match("^local function ([%w_]+)") or line:match("^local ([%w_]+) =")
  end
end
read_globals = shared

-- Some of what they offer is used by other verbs only.
for _, file in ipairs({ "lua/prelude.lua", "lua/parts/*.lua" }) do
  files[file] = { ignore = { "211", "431" } }
end
