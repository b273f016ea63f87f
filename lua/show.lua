#!lua flags=allow-oom
-- Reads one message whole with everybody's receipts, or the whole conversation it belongs to, oldest first.
--
-- USES     recipients receipts seals messages settings doing
-- KEYS     P:meta
-- ARGV     instance session message_id thread since limit mark
--          instance: "" reads for nobody and marks nothing; thread: "1" for the conversation, its first limit messages after
--          the id since ("" from the first on); mark: as check takes it
-- Returns  JSON object as check returns it; of one message the first 50 receipts that are only stored have asleep, where their
--          instance is idle and nobody wakes it
-- Refuses  NOT_FOUND, SUPERSEDED, TAKEN, INTERNAL
local me, session, message_id, thread, since, limit, mark = unpack(ARGV)
local about = { me = me, limit = tonumber(limit), bytes = 0, receipts = 'whole' }
local problem = superseded(me, session)
  or problem_of({ hash = { key('msg', message_id) }, zset = { key('unread', me), key('inbox', me) } })
if problem then return problem end
if call('EXISTS', key('msg', message_id)) == 0 then
  return refuse('NOT_FOUND', 'message_id is ' .. quoted(message_id) .. ': no such message is stored.',
    'List messages with check and copy the id from there.')
end

local ids, more = { message_id }, false
if thread == '1' then
  local conversation = key('thread', call('HGET', key('msg', message_id), 'thread') or message_id)
  problem = wrong_type('zset', conversation)
  if problem then return problem end
  local after = since == '' and '-inf' or '(' .. exact(stamp_of(since) or 0)
  local found = call('ZRANGE', conversation, after, '+inf', 'BYSCORE', 'LIMIT', 0, about.limit + 1)
  more = #found > about.limit
  if #found > 0 or since ~= '' then ids = found end
end

local page = new_page()
local last, ended = since, nil
for _, id in ipairs(ids) do
  ended = add_to_page(page, id, about)
  if ended then break end
  last = id
end

-- Who asks for one message mostly waits for an answer to it.
local missing, names = {}, {}
for _, receipt in ipairs(thread ~= '1' and page.messages[1] and page.messages[1][MORE].receipts or {}) do
  if receipt.state == 'stored' and #missing < RECEIPTS_LISTED then
    missing[#missing + 1], names[#names + 1] = receipt, receipt.instance
  end
end
if #missing > 0 then
  local seen = iso(NOW - in_force('presence_timeout_seconds') * 1000000)
  for i, entry in ipairs(call('HMGET', key('presence'), unpack(names))) do
    local heartbeat = entry and entry:match(HEARTBEAT) or ''
    local active = heartbeat > seen and heartbeat <= iso(NOW + AHEAD_SECONDS * 1000000) -- else it has gone without a word
    missing[i].asleep = active and is_asleep(names[i], entry) or nil
  end
end

if mark == '1' then mark_presented(me, page.presented) end
local looking = looks(mark, session)
if not looking then touch(me, session) end
return json_page({ looking = looking or nil, more = more or ended ~= nil, step = ended == 'step',
  examined = #page.messages + #page.unreadable, next_since = last, next_before = ids[1] or '' }, page)
