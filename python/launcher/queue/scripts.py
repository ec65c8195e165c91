"""Lua scripts: every change of a job's state is one of these, and atomic.

A job's hash ``<stream>:p:<id>`` has the fields ``status``, ``state`` (the prediction object as JSON), ``token`` (who
may write), ``entry`` and ``deliveries``. Scripts take the stream, the hash, the events stream and the dead-letter
stream as keys, so on a cluster the stream's name needs a hash tag.
"""

TERMINAL = "local function ended(s) return s == 'succeeded' or s == 'failed' or s == 'canceled' end\n"

#: A delivery begins: drop it if the job has ended, bury it after too many deliveries, else take the token.
#: ARGV: entry, token, maximum, ttl, id, payload, now, reason -> {verdict, deliveries}
BEGIN = TERMINAL + """
local stream, hash, events, dead = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local entry, token, maximum, ttl = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local pending = redis.call('XPENDING', stream, stream, entry, entry, 1)
local count = pending[1] and pending[1][4] or 1
if ended(redis.call('HGET', hash, 'status')) then
  redis.call('XACK', stream, stream, entry)
  redis.call('XDEL', stream, entry)
  return {'ended', count}
end
if redis.call('EXISTS', hash .. ':cancel') == 1 then
  redis.call('HSET', hash, 'token', token, 'entry', entry, 'deliveries', count)
  return {'canceled', count}
end
if count > maximum then
  redis.call('HSET', hash, 'token', token, 'entry', entry, 'deliveries', count)
  return {'exhausted', count}
end
redis.call('HSET', hash, 'status', 'processing', 'token', token, 'entry', entry, 'deliveries', count)
redis.call('EXPIRE', hash, ttl)
redis.call('DEL', events)
return {'run', count}
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
#: deliveries -> 1 or 0 (lost). With a reason the job is also put among the dead letters.
FINISH = """
local stream, hash, events, dead = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
if redis.call('HGET', hash, 'token') ~= ARGV[1] then return 0 end
local ttl = tonumber(ARGV[2])
redis.call('HSET', hash, 'state', ARGV[3], 'status', ARGV[5])
redis.call('HDEL', hash, 'token')
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
