-- Seals: they prove who wrote a message or acknowledged it, where the setting `senders` asks for that. P:seal:{instance} can be
-- written by that instance's own Redis user alone (coord acl --instance), so the digest that lies there needs no secret: who
-- changes a message cannot change what its sender has left of it.

local SEALED_FIELDS = { 'id', 'type', 'from', 'to', 'subject', 'description', 'timestamp', 'requires_ack', 'ack_within',
  'outside', 'reply_to', 'thread', 'via' }
-- Of so many seals, taken at random for each that is written, those whose message is gone go as well: so a sender keeps about
-- twice as many as it has messages, at most.
local TRIMMED = 2

-- What there is to do where senders are to be proven, as functions. Made only there: each closure costs every script that runs.
local function sealing(senders)
  local seals = {}

  -- Lua cannot ask who calls, but what the caller may write.
  local function may_seal(instance)
    return redis.acl_check_cmd('HSET', key('seal', instance), '', '')
  end

  -- Whether the caller could write anybody's seal, since no instance has this key: then seals prove nothing to it.
  seals.forges = may_seal('')

  function seals.foreign(instance)
    return refuse('IDENTITY', 'This Redis user may not speak for ' .. instance .. '.', 'Log in as the user of ' .. instance
      .. ', with REDIS_USERNAME and REDIS_PASSWORD; coord acl --instance ' .. instance .. ' prints it.')
  end

  -- The refusal of who may not speak for the instance; nil where it may. Before anything is stored.
  function seals.problem(instance)
    if not may_seal(instance) then return seals.foreign(instance) end
    return wrong_type('hash', key('seal', instance))
  end

  -- Of values in their order, each with its length before it, so that no text can move from one into the next.
  local function digest_of(values, count)
    local parts = {}
    for i = 1, count do
      local value = values[i]
      parts[i] = value and #value .. ':' .. value or '-'
    end
    return redis.sha1hex(table.concat(parts, ' '))
  end

  local function receipt_digest(instance, id, time, comment, outside)
    return digest_of({ id, instance, time, comment or '', outside and 'o' or '' }, 5)
  end

  -- Takes seals whose messages are gone, of so many that are looked at.
  function seals.trim(instance, count)
    local held = key('seal', instance)
    for _, field in ipairs(call('HRANDFIELD', held, count)) do
      if call('EXISTS', key('msg', field:match('^ack (.*)$') or field)) == 0 then call('HDEL', held, field) end
    end
  end

  -- Leaves the seal of a message that was stored; `fields` are names and values in turn.
  function seals.seal(instance, fields)
    local named, values = {}, {}
    for i = 1, #fields, 2 do named[fields[i]] = fields[i + 1] end
    for i, name in ipairs(SEALED_FIELDS) do values[i] = named[name] end
    call('HSET', key('seal', instance), named.id, digest_of(values, #SEALED_FIELDS))
    seals.trim(instance, TRIMMED)
  end

  function seals.seal_receipt(instance, id, time, comment, outside)
    call('HSET', key('seal', instance), 'ack ' .. id, receipt_digest(instance, id, time, comment, outside))
    seals.trim(instance, TRIMMED)
  end

  -- Whether the message is as the sender that it names has written it.
  function seals.proves(id, from)
    local digest = not seals.forges and try('HGET', key('seal', from), id)
    return type(digest) == 'string'
      and digest == digest_of(call('HMGET', key('msg', id), unpack(SEALED_FIELDS)), #SEALED_FIELDS)
  end

  function seals.proves_receipt(instance, id, time, comment, outside)
    return not seals.forges
      and try('HGET', key('seal', instance), 'ack ' .. id) == receipt_digest(instance, id, time, comment, outside)
  end

  -- Whether what the namespace demands forbids to show an unproven message: what is older than the demand may be seen.
  local since = senders == 'proven' and not seals.forges and (whole(call('HGET', KEYS[1], 'senders_since')) or 0)
  function seals.hides(id)
    return since and (stamp_of(id) or math.huge) > since
  end

  return seals
end

-- Nil where nobody asks for proofs.
local SEALS = (META.senders == 'mark' or META.senders == 'proven') and sealing(META.senders) or nil
