"""Keys: the names of everything that a cluster has in Redis.

=================  ====================================================================
key                content
=================  ====================================================================
``u:{user}``       hash: the devices of a user, and the presence; see ``scripts``
``u:{user}:w``     the node that tells events of a user, or did so last; see ``tellings``
``np:<node>``      set of the claims of a node: more than it has, never fewer
``{nodes}:beat``   hash: node -> counter and state
``{nodes}:gen``    the generation: another one after Redis has lost its data
``{nodes}:grave``  set of dead nodes whose peers are not all released yet
``{nodes}:dead``   set of nodes that others have taken for dead: their ids do not come back
``h:{kind:key}``   the node at which a call or room is at home
``r:{digest}``     the microsecond in which a bucket of a rate limit will be full
=================  ====================================================================

Each begins with the prefix of the cluster. The text within braces decides on the slot of Redis
Cluster, so each script touches keys with the same braces only.

Names of users are any text. In a key, ASCII letters, digits and a few signs stand for themselves,
and each other byte of the UTF-8 is ``%`` with two digits: braces, spaces and percent signs can
neither end the part that decides on the slot nor make two users the same.
"""

from __future__ import annotations

import logging
import re
import time
from hashlib import blake2b
from typing import Iterable, NamedTuple

from ..core.excerpts import excerpt_of
from ..core.occasions import Occasions

logger = logging.getLogger(__name__)

_occasions = Occasions(time.monotonic)

_SAFE = re.compile(r"[A-Za-z0-9._@+:/=~-]*", re.ASCII)
_UNSAFE_BYTE = re.compile(rb"[^A-Za-z0-9._@+:/=~-]")
_ESCAPE = re.compile(rb"%([0-9a-f]{2})")


class Member(NamedTuple):
    """A claim, as a node's set has it.

    :ivar nonce: a number that the node has given to this claim alone. An entry that is left over
        from an earlier claim can be removed without touching a later one.
    """

    username: str
    uuid: str
    nonce: int


class Keys:
    """The keys of one cluster.

    :param prefix: without braces.
    :raises ValueError: for a prefix with braces: scripts would touch several slots.
    """

    def __init__(self, prefix: str) -> None:
        if "{" in prefix or "}" in prefix:
            raise ValueError(
                f"a prefix of keys must have no braces, as {prefix!r} has: they decide on the "
                "slot of Redis Cluster"
            )
        start = prefix.encode() + b":"
        self._user = start + b"u:{"
        self._claims = start + b"np:"
        self._home = start + b"h:{"
        self._bucket = start + b"r:{"
        self.beat = start + b"{nodes}:beat"
        self.generation = start + b"{nodes}:gen"
        self.grave = start + b"{nodes}:grave"
        self.dead = start + b"{nodes}:dead"
        self._channel = start + b"n:"

    @property
    def of_nodes(self) -> tuple[bytes, bytes, bytes, bytes]:
        return self.beat, self.generation, self.grave, self.dead

    def channel(self, node: str) -> bytes:
        """Return the channel of a node; that of all for an empty one."""
        return self._channel + node.encode()

    def user(self, username: str) -> bytes:
        return self._user + encode_name(username) + b"}"

    def teller(self, username: str) -> bytes:
        return self.user(username) + b":w"

    def username(self, key: bytes) -> str | None:
        """Return the user of a key; ``None`` when it is the key of something else."""
        if not (key.startswith(self._user) and key.endswith(b"}")):
            return None
        try:
            return decode_name(key[len(self._user) : -1])
        except ValueError:
            return None

    def claims(self, node: str) -> bytes:
        return self._claims + node.encode()

    def home(self, kind: str, key: str) -> bytes:
        # A name has no "!", so it ends the kind.
        return self._home + encode_name(kind) + b"!" + encode_name(key) + b"}"

    def bucket(self, name: str) -> bytes:
        # A digest: a name may have any length, and nobody has to read it.
        return self._bucket + blake2b(text_bytes(name), digest_size=16).hexdigest().encode() + b"}"


def encode_name(text: str) -> bytes:
    """Return any text as ASCII without spaces, braces and control characters."""
    if _SAFE.fullmatch(text):
        return text.encode()
    data = text.encode("utf-8", "surrogatepass")
    return _UNSAFE_BYTE.sub(lambda found: b"%%%02x" % found.group()[0], data)


def decode_name(data: bytes) -> str:
    """Return the text of :func:`encode_name`."""
    if b"%" in data:
        data = _ESCAPE.sub(lambda found: bytes([int(found.group(1), 16)]), data)
    return data.decode("utf-8", "surrogatepass")


def encode_member(username: str, uuid: str, nonce: int) -> bytes:
    return b"%b %b %d" % (encode_name(username), encode_name(uuid), nonce)


def decode_member(data: bytes) -> Member:
    """Return the claim of a member of a node's set.

    :raises ValueError: for something else.
    """
    username, uuid, nonce = data.split(b" ")
    return Member(decode_name(username), decode_name(uuid), int(nonce))


def read_members(members: Iterable[bytes]) -> list[Member]:
    """Return the claims of a node's set, without those that are not understood.

    A newer version of this package, or another program, may have written them. The log tells once.
    """
    found = []
    for data in members:
        try:
            found.append(decode_member(data))
        except ValueError:
            if _occasions.begins("member"):
                logger.error(
                    "a claim in Redis is not understood, and is left out: %s. Does another program "
                    "use PROTOO_CLUSTER_PREFIX?",
                    excerpt_of(data[:80]),
                )
    return found


def text_bytes(text: str) -> bytes:
    """Return any text as bytes: a client's JSON may have halves of surrogate pairs."""
    return text.encode("utf-8", "surrogatepass")
