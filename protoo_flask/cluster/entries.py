"""Entries: what the hash of a user in Redis says, as the core's values.

The form of the data in Redis is untrusted: another version of this package may have
written it. An entry that is not understood is left out.
"""

from __future__ import annotations

from typing import Any, Mapping

from ..core.cluster.places import NEW, Claim, Place, Presence, Release, Telling, User
from .keys import Member

NOBODY = User()


def read_place(username: str, uuid: str, entry: bytes) -> Place | None:
    """Return the place that an entry tells; ``None`` when it is not understood."""
    try:
        token, born, node, _, state, since, data = entry.split(b" ", 6)
        return Place(
            username,
            uuid,
            node.decode(),
            int(token),
            int(born),
            state == b"c",
            float(since),
            data,
        )
    except ValueError:
        return None


def read_member(username: str, uuid: str, entry: bytes) -> tuple[str, Member]:
    """Return the node of an entry, and what that node's set says of the claim."""
    _, _, node, nonce, _ = entry.split(b" ", 4)
    return node.decode(), Member(username, uuid, int(nonce))


def read_user(username: str, fields: Mapping[bytes, bytes]) -> User:
    """Return a user; the devices in the order in which they came online."""
    if not fields:
        return NOBODY
    places = []
    for name, value in fields.items():
        if name.startswith(b"d:"):
            uuid = _read_text(name[2:])
            place = None if uuid is None else read_place(username, uuid, value)
            if place is not None:
                places.append(place)
    places.sort(key=lambda place: place.born)
    presence = Presence(
        _read_text(fields.get(b"s")),
        _read_text(fields.get(b"n")),
        _read_time(fields.get(b"t")),
    )
    return User(tuple(places), presence)


def _read_text(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode("utf-8", "surrogatepass")
    except ValueError:
        return None


def _read_time(value: bytes | None) -> float | None:
    try:
        return None if value is None else float(value)
    except ValueError:
        return None


def read_claim(username: str, uuid: str, reply: Any) -> Claim:
    """Return the verdict that CLAIM or RECLAIM has replied."""
    verdict, token, born, is_first, former, gone, gone_entry, *teller = reply
    return Claim(
        verdict.decode(),
        int(token),
        int(born),
        verdict.decode() == NEW and bool(is_first),
        read_place(username, uuid, former) if former else None,
        read_place(username, gone.decode("utf-8", "surrogatepass"), gone_entry)
        if gone_entry
        else None,
        read_telling(teller[0]) if teller else None,
    )


def read_release(reply: Any) -> Release:
    was_mine, is_last, _, *teller = reply
    return Release(bool(was_mine), bool(is_last), read_telling(teller[0]) if teller else None)


def read_telling(text: bytes) -> Telling | None:
    """Return the events that Redis names; ``None`` when there are none, or it is not understood."""
    node, _, number = text.decode("ascii", "replace").partition(" ")
    return Telling(node, int(number)) if number.isdigit() else None
