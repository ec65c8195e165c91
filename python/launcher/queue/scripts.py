"""Lua scripts: every change of a job's state is one of these, and atomic.

A job's hash ``<stream>:p:<id>`` has the fields ``status``, ``state`` (the prediction object as JSON), ``token`` (who
may write), ``entry`` and ``deliveries``. Scripts take the stream, the hash, the events stream and the dead-letter
stream as keys, so on a cluster the stream's name needs a hash tag.
"""

TERMINAL = "local function ended(s) return s == 'succeeded' or s == 'failed' or s == 'canceled' end\n"

#: Deliveries begin: drop a job that has ended, bury it after too many deliveries, else take its token. One that waits in
#: the worker does not count as a delivery until STARTED says so; but only once, so that a job which kills its worker before
#: that comes to an end.
#: KEYS: the stream, the hash of each; ARGV: consumer, maximum, ttl, then entry, token and 1 if it waits, else 0, of each
#: -> {{verdict, deliveries, 1 if this one does not count yet}, ...}
BEGIN = TERMINAL + """
local stream, maximum = KEYS[1], tonumber(ARGV[2])
local function begin(hash, entry, token, waits)
  local pending = redis.call('XPENDING', stream, stream, entry, entry, 1)
  local count = pending[1] and pending[1][4] or 1
  if ended(redis.call('HGET', hash, 'status')) then
    redis.call('XACK', stream, stream, entry)
    redis.call('XDEL', stream, entry)
    return {'ended', count, 0}
  end
  local is_held = waits and count <= maximum and not redis.call('HGET', hash, 'deliveries')
  redis.call('HSET', hash, 'token', token, 'entry', entry, 'deliveries', count)
  if redis.call('EXISTS', hash .. ':cancel') == 1 then return {'canceled', count, 0} end
  if count > maximum then return {'exhausted', count, 0} end
  if is_held then redis.call('XCLAIM', stream, stream, ARGV[1], 0, entry, 'RETRYCOUNT', count - 1, 'JUSTID') end
  redis.call('HSET', hash, 'status', is_held and 'starting' or 'processing')
  redis.call('EXPIRE', hash, tonumber(ARGV[3]))
  redis.call('DEL', hash .. ':events')
  return {'run', count, is_held and 1 or 0}
end
local verdicts = {}
for i = 2, #KEYS do verdicts[i - 1] = begin(KEYS[i], ARGV[3 * i - 2], ARGV[3 * i - 1], ARGV[3 * i] == '1') end
return verdicts
"""

#: Jobs that waited in the worker have started: their deliveries count.
#: KEYS: the stream, the hash of each; ARGV: consumer, then entry, token and deliveries of each
STARTED = """
local stream = KEYS[1]
for i = 2, #KEYS do
  local entry, token, count = ARGV[3 * i - 4], ARGV[3 * i - 3], ARGV[3 * i - 2]
  if redis.call('HGET', KEYS[i], 'token') == token then
    redis.call('XCLAIM', stream, stream, ARGV[1], 0, entry, 'RETRYCOUNT', count, 'JUSTID')
    redis.call('HSET', KEYS[i], 'status', 'processing')
  end
end
"""

#: Entries that were delivered to a worker which has not begun them go to other consumers, claimable at once and without
#: counting as delivered. KEYS: the stream, the hash of each; ARGV: consumer, then entry and new consumer of each
SET_ASIDE = TERMINAL + """
local stream = KEYS[1]
for i = 2, #KEYS do
  local entry = ARGV[2 * i - 2]
  local held = redis.call('XPENDING', stream, stream, entry, entry, 1, ARGV[1])[1]
  if held then
    local count = math.max(0, held[4] - 1)
    redis.call('XCLAIM', stream, stream, ARGV[2 * i - 1], 0, entry, 'IDLE', 86400000, 'RETRYCOUNT', count, 'JUSTID')
    if redis.call('HGET', KEYS[i], 'entry') == entry and not ended(redis.call('HGET', KEYS[i], 'status')) then
      redis.call('HSET', KEYS[i], 'status', 'starting')
      redis.call('HDEL', KEYS[i], 'token')
    end
  end
end
"""

#: XCLAIM's answer for one entry, or nothing when that is no longer in the stream (Redis 6 then says nil).
_CLAIM = """
local function claim(stream, consumer, idle, entry)
  local taken = redis.call('XCLAIM', stream, stream, consumer, idle, entry)[1]
  if taken and taken[2] then return taken end
  if #redis.call('XRANGE', stream, entry, entry) == 0 then redis.call('XACK', stream, stream, entry) end
end
"""

#: The oldest entries that are held by the given consumers, as many as wanted of each, and how many each consumer holds
#: after that. ARGV: consumer, then holder and number of each -> {entries, {consumer, number, ...}}
TAKE_WAITING = _CLAIM + """
local stream, taken, left = KEYS[1], {}, {}
for i = 2, #ARGV, 2 do
  for _, held in ipairs(redis.call('XPENDING', stream, stream, '-', '+', ARGV[i + 1], ARGV[i])) do
    taken[#taken + 1] = claim(stream, ARGV[1], 0, held[1])
  end
end
for _, one in ipairs(redis.call('XPENDING', stream, stream)[4] or {}) do
  left[#left + 1] = one[1]
  left[#left + 1] = one[2]
end
return {taken, left}
"""

#: The oldest entry that nobody has renewed the claim of, unless one of the given consumers holds it. XAUTOCLAIM would look
#: at ten entries, which may all be somebody's. ARGV: consumer, idle, holders to leave alone -> {entry} or {}
RECOVER = _CLAIM + """
local stream, apart, from = KEYS[1], {}, '-'
for i = 3, #ARGV do apart[ARGV[i]] = true end
repeat
  local idle = redis.call('XPENDING', stream, stream, 'IDLE', ARGV[2], from, '+', 1000)
  for _, held in ipairs(idle) do
    if not apart[held[2]] then
      local taken = claim(stream, ARGV[1], ARGV[2], held[1])
      if taken then return {taken} end
    end
    from = '(' .. held[1]
  end
until #idle < 1000
return {}
"""

#: A worker that ends takes its name out of the group, which keeps it else. Entries that it holds would be forgotten with it,
#: so it then stays, for whoever recovers them. ARGV: consumer -> 1 or 0 (it holds some)
LEAVE = """
local stream = KEYS[1]
if #redis.call('XPENDING', stream, stream, '-', '+', 1, ARGV[1]) > 0 then return 0 end
redis.call('XGROUP', 'DELCONSUMER', stream, stream, ARGV[1])
return 1
"""

#: The names of workers that did not end by themselves leave the group: those that hold nothing and have asked for nothing for
#: so long. One that lives after all is back with its next command. ARGV: idle, maximum -> how many
FORGET_IDLE = """
local stream, forgotten = KEYS[1], 0
for _, fields in ipairs(redis.call('XINFO', 'CONSUMERS', stream, stream)) do
  local one = {}
  for i = 1, #fields, 2 do one[fields[i]] = fields[i + 1] end
  if forgotten < tonumber(ARGV[2]) and one.pending == 0 and one.idle >= tonumber(ARGV[1]) then
    redis.call('XGROUP', 'DELCONSUMER', stream, stream, one.name)
    forgotten = forgotten + 1
  end
end
return forgotten
"""

#: The claim is renewed, without counting as a delivery. ARGV: entry, token, consumer, renew -> 1, 2 (cancel) or 0 (lost)
BEAT = """
local stream, hash = KEYS[1], KEYS[2]
if redis.call('HGET', hash, 'token') ~= ARGV[2] then return 0 end
if ARGV[4] == '1' then
  local kept = redis.call('XCLAIM', stream, stream, ARGV[3], 0, ARGV[1], 'JUSTID')
  if #kept == 0 then return 0 end
end
return redis.call('EXISTS', hash .. ':cancel') == 1 and 2 or 1
"""

#: Progress. ARGV: token, ttl, state, then pairs of event name and data -> 1 or 0 (lost)
PROGRESS = """
local hash, events = KEYS[2], KEYS[3]
if redis.call('HGET', hash, 'token') ~= ARGV[1] then return 0 end
if ARGV[3] ~= '' then redis.call('HSET', hash, 'state', ARGV[3]) end
for i = 4, #ARGV, 2 do
  redis.call('XADD', events, 'MAXLEN', '~', 10000, '*', 'event', ARGV[i], 'data', ARGV[i + 1])
end
redis.call('EXPIRE', hash, tonumber(ARGV[2]))
redis.call('EXPIRE', events, tonumber(ARGV[2]))
return 1
"""

#: The result, and the entry leaves the stream. ARGV: token, ttl, state, entry, status, reason, payload, now, id,
#: deliveries, then pairs of event name and data -> 1 or 0 (lost). With a reason the job is also put among the dead letters.
FINISH = """
local stream, hash, events, dead = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
if redis.call('HGET', hash, 'token') ~= ARGV[1] then return 0 end
local ttl = tonumber(ARGV[2])
redis.call('HSET', hash, 'state', ARGV[3], 'status', ARGV[5])
redis.call('HDEL', hash, 'token')
for i = 11, #ARGV, 2 do
  redis.call('XADD', events, 'MAXLEN', '~', 10000, '*', 'event', ARGV[i], 'data', ARGV[i + 1])
end
redis.call('XADD', events, 'MAXLEN', '~', 10000, '*', 'event', 'completed', 'data', ARGV[3])
if ARGV[6] ~= '' then
  redis.call('XADD', dead, '*', 'value', ARGV[7], 'reason', ARGV[6], 'id', ARGV[9], 'deliveries', ARGV[10],
    'failed_at', ARGV[8], 'entry', ARGV[4])
end
redis.call('EXPIRE', hash, ttl)
redis.call('EXPIRE', events, ttl)
redis.call('DEL', hash .. ':cancel')
redis.call('XACK', stream, stream, ARGV[4])
redis.call('XDEL', stream, ARGV[4])
return 1
"""

#: The entry becomes claimable at once. ARGV: token, entry, deliveries, state -> 1 or 0 (lost)
GIVE_BACK = """
local stream, hash = KEYS[1], KEYS[2]
if redis.call('HGET', hash, 'token') ~= ARGV[1] then return 0 end
redis.call('HSET', hash, 'status', 'starting', 'state', ARGV[4])
redis.call('HDEL', hash, 'token')
redis.call('XCLAIM', stream, stream, 'returned', 0, ARGV[2], 'IDLE', 86400000, 'RETRYCOUNT', ARGV[3], 'JUSTID')
return 1
"""

#: A job that still waits is canceled; its entry is dropped when its turn comes, so that the group's lag stays known.
#: ARGV: state, ttl -> 1 or 0 (not waiting)
CANCEL_WAITING = TERMINAL + """
local hash, events = KEYS[2], KEYS[3]
local status = redis.call('HGET', hash, 'status')
if ended(status) or redis.call('HGET', hash, 'token') then return 0 end
redis.call('HSET', hash, 'status', 'canceled', 'state', ARGV[1])
redis.call('XADD', events, 'MAXLEN', '~', 10000, '*', 'event', 'completed', 'data', ARGV[1])
redis.call('EXPIRE', hash, tonumber(ARGV[2]))
redis.call('EXPIRE', events, tonumber(ARGV[2]))
redis.call('DEL', hash .. ':cancel')
return 1
"""
