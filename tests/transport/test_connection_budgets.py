"""The budget of a turn: a client that floods the server does not delay the others."""

from __future__ import annotations

import itertools
import json
import zlib
from typing import Any

import pytest

from protoo_flask.transport import turns
from protoo_flask.transport.greenlets import greenlet_pool
from protoo_flask.transport.websocket import frames
from protoo_flask.transport.websocket.deflate import negotiate

from .connections import Gate, request
from .wire import CONTINUATION, PING, PONG, TEXT, Frame, close_frame, frame, text
from .worlds import Greenlets, PlainGreenlets

pytestmark = pytest.mark.parametrize(
    "world", [Greenlets, PlainGreenlets], ids=["greenlets", "plain"], indirect=True
)

#: Messages that a turn takes, by the clock of the tests.
BUDGET = 5


@pytest.fixture(autouse=True)
def clock(site: Any, monkeypatch: Any) -> None:
    """Let a second pass whenever somebody looks at the clock."""
    monkeypatch.setattr(turns, "TURN_TIME", BUDGET)
    ticks = itertools.count(1000)
    site.world.loop.now = lambda: next(ticks)


@pytest.fixture
def handled(site: Any) -> list[Any]:
    """Return the (username, id) of the requests, as they are handled."""
    seen: list[Any] = []

    @site.router.use
    def note(req: Any, next: Any) -> None:
        seen.append((req.peer.username, req.id))
        next()

    site.router.get(lambda req, next: req.reply(200))
    return seen


def connect(site: Any, username: str) -> Any:
    """Connect a client that the server reads from by now."""
    client = site.connect(username)
    client.send_bytes(frame(PING))
    assert client.receive() == Frame(PONG, b"")
    return client


def send_at_once(*sends: Any) -> None:
    """Send ``(client, bytes)`` while the hub does not run: all is readable in one iteration."""
    for client, data in sends:
        client.sock._sock.sendall(data)


@pytest.mark.parametrize("count", [BUDGET - 1, BUDGET, BUDGET + 1, 3 * BUDGET, 100])
def test_all_messages_are_handled_in_order_over_several_turns(site, handled, count):
    client = site.connect()
    client.send(*(request(id) for id in range(1, count + 1)))
    assert [message["id"] for message in client.take_many(count)] == list(range(1, count + 1))
    client.send(request(count + 1))  # it is read again
    assert client.take()["id"] == count + 1
    assert [id for _, id in handled] == list(range(1, count + 2))


@pytest.mark.parametrize("floods", [1, 10])
def test_another_client_waits_for_one_turn_of_each_flood(site, handled, floods):
    flooding = [connect(site, f"flood{number}") for number in range(floods)]
    bob = connect(site, "bob")
    flood = b"".join(text(request(id)) for id in range(1, 101))
    send_at_once(*((client, flood) for client in flooding), (bob, text(request(1))))
    assert bob.take()["id"] == 1
    # Bob's socket may be the last one of the iteration.
    assert handled.index(("bob", 1)) <= floods * BUDGET
    # A second request arrives while the rest of the flood waits.
    before = len(handled)
    send_at_once((bob, text(request(2))))
    assert bob.take()["id"] == 2
    assert handled.index(("bob", 2)) - before <= 2 * floods * BUDGET
    assert len(handled) < 100 * floods  # the flood was still there
    for client in flooding:
        assert [message["id"] for message in client.take_many(100)] == list(range(1, 101))


def test_answers_of_a_turn_leave_together(site, handled):
    client = site.connect()
    channel = client.connection._channel
    writes: list[int] = []
    send = type(channel).send

    class Watched(type(channel)):  # type: ignore[misc]
        __slots__ = ()

        def send(self, data: Any) -> int:
            writes.append(len(data))
            return send(self, data)

    channel.__class__ = Watched
    client.send(*(request(id) for id in range(1, 4 * BUDGET + 1)))
    client.take_many(4 * BUDGET)
    assert len(writes) == 4


def test_a_handler_that_blocks_in_a_postponed_turn_lets_the_rest_and_the_reading_go_on(site):
    first, second = Gate(site), Gate(site)
    site.router.method("first", first).method("second", second)
    site.router.get(lambda req, next: req.reply(200))
    client = site.connect()
    messages = [*(request(id) for id in range(1, BUDGET + 3)), request(50, "first")]
    client.send(*messages)
    first.wait()
    client.send_bytes(frame(PING, b"read"))
    answers = client.take_many(BUDGET + 2)
    assert [answer["id"] for answer in answers] == list(range(1, BUDGET + 3))
    assert client.receive() == Frame(PONG, b"read")
    first.open()
    assert client.take()["id"] == 50


@pytest.mark.parametrize("opcode", [PING, PONG])
def test_control_frames_have_a_budget_too(site, handled, opcode, monkeypatch):
    monkeypatch.setattr(frames, "MAX_FRAMES", 10)
    client, bob = connect(site, "alice"), connect(site, "bob")
    send_at_once((client, frame(opcode) * 1000 + text(request(7))), (bob, text(request(1))))
    assert bob.take()["id"] == 1
    assert handled == [("bob", 1)]
    received = [client.receive() for _ in range(1000 if opcode == PING else 0)]
    assert set(received) <= {Frame(PONG, b"")}
    assert client.take()["id"] == 7


def test_fragments_of_one_byte_have_a_budget_too(site, handled, monkeypatch):
    monkeypatch.setattr(frames, "MAX_FRAMES", 10)
    client, bob = connect(site, "alice"), connect(site, "bob")
    message = json.dumps(request(7, text="x" * 500)).encode()
    pieces = [
        frame(
            CONTINUATION if index else TEXT,
            message[index : index + 1],
            fin=index == len(message) - 1,
        )
        for index in range(len(message))
    ]
    send_at_once((client, b"".join(pieces)), (bob, text(request(1))))
    assert bob.take()["id"] == 1
    assert client.take()["id"] == 7
    assert handled == [("bob", 1), ("alice", 7)]


def is_of_bob(entry: Any) -> bool:
    return bool(entry[0] == "bob")


def long_text(id: int, size: int, method: str = "get") -> bytes:
    """Return the frame of a request whose text has so many bytes."""
    padding = size - len(json.dumps(request(id, method, text="")))
    return text(request(id, method, text="x" * padding))


@pytest.mark.parametrize(("over", "position"), [(0, 10), (1, 0)], ids=["short", "long"])
def test_a_long_message_is_handled_after_the_short_ones_of_the_iteration(
    site, handled, over, position
):
    flooding = [connect(site, f"flood{number}") for number in range(10)]
    bob = connect(site, "bob")
    message = long_text(1, frames.MAX_SHORT + over)
    send_at_once(*((client, message) for client in flooding), (bob, text(request(1))))
    assert bob.take()["id"] == 1
    assert [client.take()["id"] for client in flooding] == [1] * 10
    # The sockets have their turns in the order of their numbers, or the reverse.
    assert handled.index(("bob", 1)) in {0, position}


def test_another_client_waits_for_one_long_message_however_many_there_are(
    site, handled, monkeypatch
):
    monkeypatch.setattr(greenlet_pool, "LATER_TIME", 0)

    @site.router.method("long")
    def let_bob_ask(req: Any, next: Any) -> None:
        # His request arrives while this one is being handled.
        send_at_once((bob, text(request(len(handled)))))
        req.reply(200)

    flooding = [connect(site, f"flood{number}") for number in range(5)]
    bob = connect(site, "bob")
    long = [long_text(id, frames.MAX_SHORT + 1, "long") for id in (1, 2)]
    send_at_once(*((client, b"".join(long)) for client in flooding))
    for client in flooding:
        client.take_many(2)
    bob.take_many(10)
    rows = [len(list(row)) for bobs, row in itertools.groupby(handled, is_of_bob) if not bobs]
    # Two, when his socket had its turn in this iteration already.
    assert max(rows) <= 2


def test_a_flood_that_ends_with_a_close_is_answered_in_order(site, handled):
    client = site.connect()
    client.send_bytes(
        b"".join(text(request(id)) for id in range(1, 4 * BUDGET)) + close_frame(1000)
    )
    assert [message["id"] for message in client.take_many(4 * BUDGET - 1)][-1] == 4 * BUDGET - 1
    assert client.take_close()[0] == 1000


def test_a_client_that_vanishes_behind_a_flood_is_forgotten(site, handled):
    client = site.connect()
    client.send_bytes(b"".join(text(request(id)) for id in range(1, 4 * BUDGET)))
    client.sock.close()
    client.wait_for_end()


def test_a_violation_behind_a_flood_closes_the_connection_in_its_place(site, handled):
    client = site.connect()
    client.send_bytes(
        b"".join(text(request(id)) for id in range(1, 4 * BUDGET)) + frame(PING, mask=None)
    )
    client.take_many(4 * BUDGET - 1)
    assert client.take_close() == (1002, "a client masks its frames")


def test_messages_that_came_before_the_connection_was_open_have_a_budget(site, handled):
    early = b"".join(text(request(id)) for id in range(1, 4 * BUDGET))
    client = site.begin(early=early)
    client.receive_handshake()
    assert len(client.take_many(4 * BUDGET - 1)) == 4 * BUDGET - 1
    client.send(request(100))
    assert client.take()["id"] == 100


def test_compressed_messages_are_not_all_inflated_at_once():
    message = b"x" * 60_000
    deflater = zlib.compressobj(wbits=-15)
    data = deflater.compress(message) + deflater.flush(zlib.Z_SYNC_FLUSH)
    agreed = negotiate("permessage-deflate", 65536)
    assert agreed is not None
    codec = agreed[1]
    counts = []
    read = frame(TEXT, data[:-4], rsv=4) * 16
    while read or codec.has_more:
        counts.append(len(codec.receive(read)))
        read = b""
    assert counts == [2] * 8
