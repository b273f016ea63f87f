#!lua flags=allow-oom
-- Says that what was handed out has reached the agent: its events never come again, its messages are presented.
--
-- USES     receipts loans
-- KEYS     P:meta
-- ARGV     instance session loan reminded shown message_id…
--          loan: "" where no events were handed out; reminded: how many ids, the first, are pending ones that the session was
--          held back for when it stopped; shown: how many of the others were shown, the rest is only given back
-- Returns  "OK"; also when the loan had run out, since then it comes again anyway
-- Refuses  SUPERSEDED, TAKEN, INTERNAL
local me, session, loan, reminded, shown = unpack(ARGV)
reminded, shown = tonumber(reminded), tonumber(shown)
local problem = superseded(me, session) or wrong_type('hash', key('loans', me))
-- Most confirm events and no message: no other key is written then.
if #ARGV > 5 then problem = problem or problem_of(mail_keys(me)) or wrong_type('set', key('reminded', me)) end
if problem then return problem end

call('HDEL', key('loans', me), loan)
local presented = {}
for i = 6, 5 + reminded do
  call('ZREM', key('loaned', me), ARGV[i])
  call('SADD', key('reminded', me), ARGV[i])
end
for i = 6 + reminded, #ARGV do
  local id = ARGV[i]
  call('ZREM', key('loaned', me), id)
  -- Acknowledged, or shown by another surface, in the meantime: the first time counts.
  if i - 5 - reminded <= shown and call('ZSCORE', key('unread', me), id) then
    if call('TYPE', key('msg', id)).ok == 'hash' then
      presented[#presented + 1] = id
    else
      call('ZREM', key('unread', me), id) -- what is gone or cannot be read is shown once, and gets no receipt
    end
  end
end
mark_presented(me, presented)
touch(me, session)
return redis.status_reply('OK')
