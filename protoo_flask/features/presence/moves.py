"""Moves: the subscriptions of a peer on their way to another node of a cluster."""

from __future__ import annotations

from typing import Any, NamedTuple, Sequence

from ...core.wire.messages import parse_data, serialize_data
from .states import State


class Subscription(NamedTuple):
    """One user that a peer watches.

    :ivar told: the state that the peer was told last; ``None`` if that is not sure.
    """

    username: str
    told: State | None


def describe_subscriptions(subscriptions: Sequence[Subscription]) -> dict[str, Any]:
    """Return subscriptions as JSON data."""
    found = [[username, told and list(told)] for username, told in subscriptions]
    return {"subscriptions": found}


def restore_subscriptions(data: dict[str, Any]) -> list[Subscription]:
    """Return the subscriptions in what :func:`describe_subscriptions` has made."""
    return [
        Subscription(username, None if told is None else State(*told))
        for username, told in data["subscriptions"]
    ]


def pack_subscriptions(subscriptions: Sequence[Subscription]) -> bytes:
    """Return subscriptions as bytes; empty for none."""
    return serialize_data(describe_subscriptions(subscriptions)) if subscriptions else b""


def unpack_subscriptions(data: bytes) -> list[Subscription]:
    """Return the subscriptions in what :func:`pack_subscriptions` has made."""
    return restore_subscriptions(parse_data(data))
