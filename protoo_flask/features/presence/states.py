"""Presence: what is known of users, the union over their devices (RFC 3856's presentities)."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Mapping, NamedTuple

from ...core.errors import ProtocolError

#: Characters. A status is a word that clients switch on ("away"), with room for a phrase;
#: what is longer belongs into the note.
MAX_STATUS_LENGTH = 64

#: Characters. A note is one line below a name, and every watcher gets a copy of it at
#: every change: what an untrusted user may multiply so has to be short.
MAX_NOTE_LENGTH = 256

#: Users that are offline of whom it is known since when: about 2 MiB of names and times.
MAX_LAST_SEEN = 10_000

_MAX_LENGTHS = {"status": MAX_STATUS_LENGTH, "note": MAX_NOTE_LENGTH}


class State(NamedTuple):
    """What a watcher is told of a user.

    :ivar online: whether one device is there, or may still come back (grace period).
    :ivar devices: how many of them.
    :ivar status: what the user has published, ``None`` while there is nothing.
    :ivar since: when ``online`` or ``status`` changed last, in seconds since the epoch;
        ``None`` when the user has not been seen.

    >>> bob = State("bob").with_devices(1, now=5.0).with_published({"status": "away"}, now=7.0)
    >>> bob.online, bob.status, bob.since
    (True, 'away', 7.0)
    >>> bob.with_devices(0, now=9.0)
    State(username='bob', online=False, devices=0, status=None, note=None, since=9.0)
    """

    username: str
    online: bool = False
    devices: int = 0
    status: str | None = None
    note: str | None = None
    since: float | None = None

    def with_devices(self, devices: int, now: float) -> State:
        """Return the state with so many devices; what was published goes with the last."""
        if devices == 0:
            return self._change(now, online=False, devices=0, status=None, note=None)
        return self._change(now, online=True, devices=devices)

    def with_published(self, published: Mapping[str, str | None], now: float) -> State:
        """Return the state with what :func:`check_published` let through."""
        return self._change(now, **published)

    def _change(self, now: float, **fields: Any) -> State:
        changed = self._replace(**fields)
        if (changed.online, changed.status) == (self.online, self.status):
            return changed
        return changed._replace(since=now)


class States:
    """The states of the users who are online, and of those seen last when they left.

    :param max_last_seen: how many of the latter; the oldest are forgotten.
    """

    def __init__(self, max_last_seen: int = MAX_LAST_SEEN) -> None:
        self._online: dict[str, State] = {}
        self._last_seen: OrderedDict[str, float | None] = OrderedDict()
        self._max_last_seen = max_last_seen

    def __len__(self) -> int:
        return len(self._online) + len(self._last_seen)

    def get(self, username: str) -> State:
        """Return what is known of a user, who need not exist."""
        if username in self._online:
            return self._online[username]
        return State(username, since=self._last_seen.get(username))

    def put(self, state: State) -> None:
        """Replace what is known of a user."""
        username = state.username
        self._online.pop(username, None)
        self._last_seen.pop(username, None)
        if state.online:
            self._online[username] = state
            return
        self._last_seen[username] = state.since
        if len(self._last_seen) > self._max_last_seen:
            self._last_seen.popitem(last=False)


def check_published(data: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the fields of untrusted ``data`` that may be published; others are ignored.

    :raises ProtocolError: for one that is no string, or too long.
    """
    published = {name: data[name] for name in _MAX_LENGTHS if name in data}
    for name, value in published.items():
        limit = _MAX_LENGTHS[name]
        if value is None or (isinstance(value, str) and len(value) <= limit):
            continue
        came = f"{len(value)} characters" if isinstance(value, str) else _describe(value)
        raise ProtocolError(
            f"{name} must be null or a string of at most {limit} characters, not {came}"
        )
    return published


def _describe(value: Any) -> str:
    """Return what JSON calls the type of a value."""
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, (int, float)):
        return "a number"
    return "an array" if isinstance(value, list) else "an object"
