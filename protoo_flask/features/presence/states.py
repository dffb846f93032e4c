"""Presence states: one for each user, the union over the user's devices.

RFC 3856 calls such a user a presentity.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Mapping, NamedTuple

from ...core.errors import ProtocolError

#: Characters. A status is a word that clients switch on ("away"), with room for a phrase.
#: A longer text belongs into the note.
MAX_STATUS_LENGTH = 64

#: Characters. A note is one line below a name. It has to be short, because every watcher
#: gets a copy at every change, so that an untrusted user can multiply it.
MAX_NOTE_LENGTH = 256

#: Offline users that keep their ``since``: about 2 MiB of names and times.
MAX_LAST_SEEN = 10_000

_MAX_LENGTHS = {"status": MAX_STATUS_LENGTH, "note": MAX_NOTE_LENGTH}


class State(NamedTuple):
    """The state of one user, as its watchers get it.

    :ivar online: whether a device is connected, or within its grace period.
    :ivar devices: the number of these devices.
    :ivar status: the published status; ``None`` when there is none.
    :ivar note: the published note; ``None`` when there is none.
    :ivar since: the time of the last change of ``online`` or ``status``, in seconds since
        the epoch; ``None`` for a user that has never been online.

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
        """Return the state with so many devices; without any, nothing stays published."""
        if devices == 0:
            return self._change(now, online=False, devices=0, status=None, note=None)
        return self._change(now, online=True, devices=devices)

    def with_published(self, published: Mapping[str, str | None], now: float) -> State:
        """Return the state with these fields; they come from :func:`check_published`."""
        return self._change(now, **published)

    def _change(self, now: float, **fields: Any) -> State:
        changed = self._replace(**fields)
        if (changed.online, changed.status) == (self.online, self.status):
            return changed
        return changed._replace(since=now)


class States:
    """The states of online users, and the ``since`` of users that went offline.

    :param max_last_seen: how many offline users are remembered; the oldest are forgotten.
    """

    def __init__(self, max_last_seen: int = MAX_LAST_SEEN) -> None:
        self._online: dict[str, State] = {}
        self._last_seen: OrderedDict[str, float | None] = OrderedDict()
        self._max_last_seen = max_last_seen

    def __len__(self) -> int:
        return len(self._online) + len(self._last_seen)

    def get(self, username: str) -> State:
        """Return the state of a user; the user need not exist."""
        if username in self._online:
            return self._online[username]
        return State(username, since=self._last_seen.get(username))

    def put(self, state: State) -> None:
        """Replace the state of a user."""
        username = state.username
        self._online.pop(username, None)
        self._last_seen.pop(username, None)
        if state.online:
            self._online[username] = state
            return
        self._last_seen[username] = state.since
        if len(self._last_seen) > self._max_last_seen:
            self._last_seen.popitem(last=False)

    def forget(self, username: str) -> None:
        """Remove the state of a user, if there is one."""
        self._online.pop(username, None)
        self._last_seen.pop(username, None)


def check_published(data: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the fields of untrusted ``data`` that may be published; others are ignored.

    :raises ProtocolError: for a field that is neither ``None`` nor a string, or is too long.
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
    """Return the type of a value in the words of JSON."""
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, (int, float)):
        return "a number"
    return "an array" if isinstance(value, list) else "an object"
