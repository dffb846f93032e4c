"""The scripts of the nodes, and of what is at home there.

Those of the nodes touch the keys of :attr:`.keys.Keys.of_nodes`; those of a home touch its own.
"""

from __future__ import annotations

from .scripts import Script

#: Join. Keys of the nodes; ``node generation ttl state`` -> ``[verdict, generation]``.
JOIN = Script(
    b"""
if redis.call('SISMEMBER', KEYS[4], ARGV[1]) == 1 then return {'fenced', ''} end
local generation = redis.call('GET', KEYS[2]) or ARGV[2]
redis.call('DEL', KEYS[2])
redis.call('SET', KEYS[2], generation, 'EX', ARGV[3])
redis.call('HSET', KEYS[1], ARGV[1], '1 ' .. ARGV[4])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return {'ok', generation}
""",
    keys=4,
    uses=b"",
)

#: Say that this node is alive. ``node generation ttl state`` ->
#: ``[verdict, [node, counter and state, ...], [graves]]``. A node that is not listed, and was not
#: taken for dead, joined after the data were saved that Redis has now.
BEAT = Script(
    b"""
for i = 1, 4 do redis.call('EXPIRE', KEYS[i], ARGV[3]) end
if redis.call('SISMEMBER', KEYS[4], ARGV[1]) == 1 then return {'fenced', {}, {}} end
local beat = redis.call('HGET', KEYS[1], ARGV[1])
if not beat or redis.call('GET', KEYS[2]) ~= ARGV[2] then return {'lost', {}, {}} end
local count = tonumber(beat:match('^(%d+)') or '0') + 1
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', count) .. ' ' .. ARGV[4])
return {'ok', redis.call('HGETALL', KEYS[1]), redis.call('SMEMBERS', KEYS[3])}
""",
    keys=4,
    uses=b"",
)

#: Declare a node dead, unless it has beaten meanwhile. ``node beat ttl`` -> 1 or 0. ``beat``:
#: empty for a node that is not listed.
BURY = Script(
    b"""
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
for i = 3, 4 do
  redis.call('SREM', KEYS[i], ARGV[1])
  redis.call('SADD', KEYS[i], ARGV[1])
  redis.call('EXPIRE', KEYS[i], ARGV[3])
end
return 1
""",
    keys=4,
    uses=b"",
)

#: Leave. ``node``. The last one takes the generation along.
LEAVE = Script(
    b"""
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('SREM', KEYS[3], ARGV[1])
if redis.call('EXISTS', KEYS[1], KEYS[3]) == 0 then redis.call('DEL', KEYS[2]) end
return 1
""",
    keys=4,
    uses=b"",
)

#: Become a home, unless there is one. ``node dead ttl`` -> its node. ``dead``: a node, or several
#: with spaces between, whose home counts for none.
TAKE_HOME = Script(
    b"""
local node = redis.call('GET', KEYS[1])
if node and not (' ' .. ARGV[2] .. ' '):find(' ' .. node .. ' ', 1, true) then return node end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[3])
return ARGV[1]
""",
    uses=b"",
)

#: Give a home up. ``node`` -> 1 or 0.
LEAVE_HOME = Script(
    b"""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
""",
    uses=b"",
)

ALL = (JOIN, BEAT, BURY, LEAVE, TAKE_HOME, LEAVE_HOME)
