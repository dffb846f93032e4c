"""The scripts of the users. Each is one step in Redis, and touches one slot.

A user's hash
=============

======  ==================================================================================
field   value
======  ==================================================================================
d:UUID  a device: ``token born node nonce state since data``. ``state`` is ``c`` (connected),
        or ``a`` with the microsecond in which it has dropped
k       number of devices
e       the last token
s, n    status and note, if they are published
t       since: of the latest change of being online, or of the status
======  ==================================================================================

**A token** is the microsecond of the claim by Redis' clock, or one more than the last: no token
comes twice for a user, also when the hash has been forgotten meanwhile. Only who knows it may
change the entry. Nobody's clock but Redis' counts.

**A hash without devices** has ``t`` alone. Each hash has an EXPIRE as a last resort, in case that
all nodes die at once; nodes renew those of their users.

**The node that tells events** of a user is in a key beside the hash, its name and ``:w``.
RELEASE and REAP write there the node that tells the events which they lead to, and return the one
that was named before. The claim of a device returns it, too.

**A full Redis** (``maxmemory``) refuses the first command of a script that may need memory, but
none after a write. So scripts that need no more memory than they free begin with a write that
needs none.
"""

from __future__ import annotations

from hashlib import sha1
from typing import Any

from .connection import RedisConnection, RedisError, Then

#: Seconds after which Redis forgets what nobody has renewed: last seen users, and what is left
#: over when all nodes have died. Nodes renew theirs several times in that period.
KEEPING_TIME = 24 * 3600

#: Seconds after which others wait no longer for events that have not been told.
TELLING_TIME = 60

#: Functions that several scripts need.
_COMMON = b"""
local function now_us()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end
local function seconds(us) return string.format('%.6f', us / 1000000) end
local function next_token(key, now)
  local last = tonumber(redis.call('HGET', key, 'e') or '0')
  if now <= last then now = last + 1 end
  return string.format('%.0f', now)
end
local function parse(entry)
  local token, born, node, nonce, state, since, data =
    entry:match('^(%d+) (%d+) (%S+) (%d+) (%S+) (%S+) (.*)$')
  return {token = token, born = born, node = node, nonce = nonce, state = state,
          since = since, data = data}
end
local function join(token, born, node, nonce, state, since, data)
  return table.concat({token, born, node, nonce, state, since, data}, ' ')
end
local function teller(key) return redis.call('GET', key .. ':w') or '' end
local function hand_on(key, telling)
  if not telling or telling == '' then return '' end
  local before = teller(key)
  redis.call('SET', key .. ':w', telling, 'EX', TELLING_TIME)
  return before
end
local function take_off(key, field, ttl)
  redis.call('HDEL', key, field)
  local count = redis.call('HINCRBY', key, 'k', -1)
  if count <= 0 then
    redis.call('DEL', key)
    redis.call('HSET', key, 't', seconds(now_us()))
  end
  redis.call('EXPIRE', key, ttl)
  return count <= 0 and 1 or 0
end
""".replace(b"TELLING_TIME", b"%d" % TELLING_TIME)


class Script:
    """A script, run by its digest; by its text when Redis does not have it."""

    def __init__(self, text: bytes, keys: int = 1, uses: bytes = _COMMON) -> None:
        self.text = uses + text
        self.digest = sha1(self.text).hexdigest().encode()
        self._keys = b"%d" % keys

    def ask(self, connection: RedisConnection, then: Then, *args: bytes | str | int) -> None:
        """Run it with keys and arguments; ``then(reply)`` as of ``RedisConnection.ask``."""

        def take(reply: Any) -> None:
            if isinstance(reply, RedisError) and str(reply).startswith("NOSCRIPT"):
                # Redis was restarted, or told to forget the scripts.
                connection.ask(then, b"EVAL", self.text, self._keys, *args)
            elif then is not None:
                then(reply)

        connection.ask(take, b"EVALSHA", self.digest, self._keys, *args)

    def load(self, connection: RedisConnection) -> None:
        """Have Redis know it, so that a pipeline stays in order."""
        connection.ask(None, b"SCRIPT", b"LOAD", self.text)


#: Become the owner. ``uuid node nonce limit ttl data`` ->
#: ``[verdict, token, born, is_first, entry before, uuid that gave way, its entry, teller]``.
CLAIM = Script(
    b"""
local key = KEYS[1]
local uuid, node, nonce, limit, ttl, data = unpack(ARGV)
local field = 'd:' .. uuid
local now = now_us()
local token = next_token(key, now)
local since = seconds(now)
local old = redis.call('HGET', key, field)
if old then
  local former = parse(old)
  redis.call('EXPIRE', key, ttl)
  redis.call('HSET', key, 'e', token,
             field, join(token, former.born, node, nonce, 'c', since, data))
  return {'taken', token, former.born, 0, old, '', ''}
end
local count = tonumber(redis.call('HGET', key, 'k') or '0')
local is_first = count == 0
local gone, gone_entry, gone_since = '', '', nil
if count >= tonumber(limit) then
  -- Who has been away longest gives way.
  local all = redis.call('HGETALL', key)
  for i = 1, #all, 2 do
    if all[i]:sub(1, 2) == 'd:' then
      local away = tonumber(parse(all[i + 1]).state:match('^a(%d+)'))
      if away and (not gone_since or away < gone_since) then
        gone, gone_entry, gone_since = all[i]:sub(3), all[i + 1], away
      end
    end
  end
  if not gone_since then return {'full', '0', '0', 0, '', '', ''} end
  redis.call('HDEL', key, 'd:' .. gone)
  count = count - 1
end
redis.call('HSET', key, 'e', token, 'k', count + 1,
           field, join(token, token, node, nonce, 'c', since, data))
if is_first then redis.call('HSET', key, 't', since) end
redis.call('EXPIRE', key, ttl)
return {'new', token, token, is_first and 1 or 0, '', gone, gone_entry, teller(key)}
"""
)

#: Take a device off. ``uuid token ttl telling`` -> ``[was_mine, is_last, entry, teller before]``.
#: ``telling``: the node that tells the events, or nothing.
RELEASE = Script(
    b"""
local field = 'd:' .. ARGV[1]
local old = redis.call('HGET', KEYS[1], field)
if not old or parse(old).token ~= ARGV[2] then return {0, 0, ''} end
return {1, take_off(KEYS[1], field, ARGV[3]), old, hand_on(KEYS[1], ARGV[4])}
"""
)

#: Take a device off that a certain node owns. ``uuid node nonce ttl telling`` -> as RELEASE. Of
#: several nodes that bury another one, exactly one gets ``was_mine`` for each peer. ``nonce``: of a
#: claim whose token is not known; or empty: any.
REAP = Script(
    b"""
local field = 'd:' .. ARGV[1]
local old = redis.call('HGET', KEYS[1], field)
if not old then return {0, 0, ''} end
local entry = parse(old)
if entry.node ~= ARGV[2] then return {0, 0, ''} end
if ARGV[3] ~= '' and entry.nonce ~= ARGV[3] then return {0, 0, ''} end
return {1, take_off(KEYS[1], field, ARGV[4]), old, hand_on(KEYS[1], ARGV[5])}
"""
)

#: Say that a device has dropped, or is back. ``uuid token state has_data data`` -> 1 or 0.
MARK = Script(
    b"""
local key = KEYS[1]
local uuid, token, state, has_data, data = unpack(ARGV)
local field = 'd:' .. uuid
local old = redis.call('HGET', key, field)
if not old then return 0 end
local entry = parse(old)
if entry.token ~= token then return 0 end
local now = now_us()
if state ~= entry.state:sub(1, 1) then
  entry.state = state
  if state == 'a' then
    entry.state = string.format('a%.0f', now)
  else
    entry.since = seconds(now)
  end
end
if has_data == '1' then entry.data = data end
redis.call('HDEL', key, field)
redis.call('HSET', key, field, join(entry.token, entry.born, entry.node, entry.nonce,
                                    entry.state, entry.since, entry.data))
return 1
"""
)

#: Make another node the owner of a device that is away; the token stays. ``uuid token node nonce``
#: -> the entry before; empty when the token is another one.
GIVE = Script(
    b"""
local key = KEYS[1]
local uuid, token, node, nonce = unpack(ARGV)
local field = 'd:' .. uuid
local old = redis.call('HGET', key, field)
if not old then return '' end
local entry = parse(old)
if entry.token ~= token then return '' end
if entry.state == 'c' then entry.state = string.format('a%.0f', now_us()) end
redis.call('HDEL', key, field)
redis.call('HSET', key, field, join(entry.token, entry.born, node, nonce, entry.state, entry.since,
                                    entry.data))
return old
"""
)

#: Claim a device again, which this node already has. The younger link wins.
#: ``uuid node nonce age state ttl data former born`` -> as CLAIM; verdict ``younger``: it has lost.
#: ``former``: the id of this node before, or empty. ``born``: as this node knows it, or 0.
RECLAIM = Script(
    b"""
local key = KEYS[1]
local uuid, node, nonce, age, state, ttl, data, former_id, born = unpack(ARGV)
local field = 'd:' .. uuid
local now = now_us()
local begun = now - tonumber(age) * 1000000
local since = seconds(begun)
if state == 'a' then state = string.format('a%.0f', now) end
local old = redis.call('HGET', key, field)
local token = next_token(key, now)
redis.call('EXPIRE', key, ttl)
if old then
  local entry = parse(old)
  local is_mine = entry.node == node or entry.node == former_id
  if is_mine then
    if state ~= 'c' and entry.state ~= 'c' then state = entry.state end
    -- The age of a link is known less exactly than its beginning.
    if tonumber(entry.since) + 1 > begun / 1000000 then since = entry.since end
    if entry.node == node then token = entry.token end
  elseif tonumber(entry.since) >= begun / 1000000 then
    return {'younger', entry.token, entry.born, 0, old, '', ''}
  end
  redis.call('HSET', key, field, join(token, entry.born, node, nonce, state, since, data))
  if token ~= entry.token then redis.call('HSET', key, 'e', token) end
  return {'taken', token, entry.born, 0, old, '', ''}
end
if born == '0' then born = token end
local count = redis.call('HINCRBY', key, 'k', 1)
redis.call('HSET', key, 'e', token, field, join(token, born, node, nonce, state, since, data))
if count == 1 then
  -- Known as offline: it comes online. Not known: Redis has lost it.
  local known = redis.call('HEXISTS', key, 't') == 1
  redis.call('HSET', key, 't', known and seconds(now) or since)
end
redis.call('EXPIRE', key, ttl)
return {'new', token, born, count == 1 and 1 or 0, '', '', '', teller(key)}
"""
)

#: Events of a user have been told. ``telling``.
TOLD = Script(
    b"""
if redis.call('GET', KEYS[1] .. ':w') ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1] .. ':w')
""",
    uses=b"",
)

#: Set presence fields. ``status_action status note_action note ttl`` -> 1, or 0 when offline.
#: An action is ``-`` (leave it), ``=`` (set it) or ``0`` (take it back).
PUBLISH = Script(
    b"""
local key = KEYS[1]
local ttl = ARGV[5]
if redis.call('HEXISTS', key, 'k') == 0 then return 0 end
local before = redis.call('HGET', key, 's')
local function put(field, action, value)
  if action == '=' then redis.call('HSET', key, field, value) end
  if action == '0' then redis.call('HDEL', key, field) end
end
put('s', ARGV[1], ARGV[2])
put('n', ARGV[3], ARGV[4])
if before ~= redis.call('HGET', key, 's') then redis.call('HSET', key, 't', seconds(now_us())) end
redis.call('EXPIRE', key, ttl)
return 1
"""
)

#: Add claims to the set of a node; before CLAIM. ``ttl member member ...``. Also when Redis is
#: full: else a device that only changes its node could not be found when that node dies.
ENLIST = Script(
    b"""
redis.call('SREM', KEYS[1], ARGV[2])
redis.call('SADD', KEYS[1], unpack(ARGV, 2))
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 1
""",
    uses=b"",
)

#: Take from a bucket of a rate limit, or give back. ``microseconds capacity is_surely`` ->
#: ``[was_taken, microseconds until it will be full]``. The key is the microsecond in which it will
#: be full. Its debt is its capacity at most, so a clock that was set back does no harm for longer.
SPEND = Script(
    b"""
local key = KEYS[1]
local amount, capacity, is_surely = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == '1'
local now = now_us()
local deficit = math.max((tonumber(redis.call('GET', key) or '0')) - now, 0)
deficit = math.min(deficit, 2 * capacity)
if is_surely and deficit + amount > capacity + 1 then
  return {0, string.format('%.0f', deficit)}
end
deficit = math.max(math.min(deficit + amount, 2 * capacity), 0)
redis.call('SET', key, string.format('%.0f', now + deficit), 'PX', math.ceil(deficit / 1000) + 1)
return {1, string.format('%.0f', deficit)}
"""
)

ALL = (CLAIM, RELEASE, REAP, MARK, GIVE, RECLAIM, TOLD, PUBLISH, ENLIST, SPEND)
