"""Estates as items: what the parts of a peer give up, written for another node, and read there."""

from __future__ import annotations

from typing import Any, Sequence

from ..cluster.items import Estate, Half, InProgress, Remembered, WaitingMessage
from ..link import Unsent
from ..transactions.inheritance import HandledElsewhere
from ..transactions.inquiry import Inquiry
from ..transactions.outbound import Bequest
from ..transactions.remembered_answers import Answer
from .forwarded_ask import ForwardedAsk

#: Bytes of the messages of one estate: those that wait, and requests that are not answered. With
#: all the rest, it is one item on the bus, and others wait behind it.
MAX_ESTATE = 4 * 1024 * 1024


def write_halves(bequest: Bequest, node: str) -> list[Half]:
    """Return the halves of a bequest as items.

    :param node: of the askers that are here.
    """
    halves = []
    for half in bequest.halves:
        asker, ask = node, half.id
        if isinstance(half, ForwardedAsk):
            asker, ask = half.asker, half.ask
        sender = None if half.sender is None else {"username": half.sender["username"]}
        kind, engagement = bequest.kinds[half.id], getattr(half, "engagement", None)
        halves.append(Half(half.id, asker, ask, half.payload, sender, kind, engagement))
    return halves


def write_waiting(bequest: Bequest) -> list[WaitingMessage]:
    """Return the messages of a bequest that no link has sent; a request has its text elsewhere."""
    return [WaitingMessage(payload if id is None else b"", id) for payload, id in bequest.waiting]


def read_waiting(estate: Estate, is_there: Any) -> Unsent:
    """Return the messages of an estate that no link has sent.

    :param is_there: tells of an id whether its request has been taken in.
    """
    texts = {half.id: half.payload for half in estate.halves}
    return [
        (message.payload if message.id is None else texts[message.id], message.id)
        for message in estate.waiting
        if message.id is None or (message.id in texts and is_there(message.id))
    ]


def write_answers(answers: Sequence[Answer]) -> list[Remembered]:
    return [
        Remembered(answer.id, answer.fingerprint, answer.payload, answer.first)
        for answer in answers
    ]


def write_requests(requests: Sequence[Inquiry], node: str) -> list[InProgress]:
    """Return requests in progress as items.

    :param node: whose handlers answer those that came here.
    """
    written = []
    for request in requests:
        assert request.id is not None
        handler = request.node if isinstance(request, HandledElsewhere) else node
        written.append(
            InProgress(request.id, request.fingerprint, list(request.repetition), handler)
        )
    return written


def read_answers(estate: Estate) -> list[HandledElsewhere]:
    return [
        HandledElsewhere(answer.id, answer.fingerprint, _join(answer)) for answer in estate.answers
    ]


def _join(answer: Remembered) -> tuple[bytes, ...]:
    return (answer.first, answer.payload) if answer.first else (answer.payload,)


def read_requests(estate: Estate) -> list[HandledElsewhere]:
    return [
        HandledElsewhere(request.id, request.fingerprint, tuple(request.repetition), request.node)
        for request in estate.requests
    ]
