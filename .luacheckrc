-- Verbs are checked together with the prelude they run with: tools/lua-lint joins them first.
std = "lua51"
read_globals = { "redis", "cjson", "KEYS", "ARGV" }
max_line_length = 130
