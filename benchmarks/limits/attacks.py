"""The attacks: each takes an arena, and does one thing as often as it can.

Each is bounded by the time of the arena, and sends the same in each run.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import time
import zlib
from typing import Any, Iterator

from .arena import Arena, Attacker, frame, nested, request
from .attack import DEVICES, LARGE, LONG_NAME, Attack, note_running
from .variants import VARIANTS

# Answers and requests of one client


def provisional(arena: Arena, data: bytes) -> None:
    mallory = arena.connect()
    asked: list[int] = []
    mallory.answer = lambda message: asked.append(message["id"]) if "method" in message else None
    mallory.write(request(1, "get", "/ask"), 1)
    while not asked and not arena.is_over:
        arena.wait(0.01)
    text = b'{"status":180,"reason":"ringing","id":%d,"data":%b}' % (asked[0], data)
    arena.flood(mallory, itertools.repeat(frame(text)))


def report_answers(arena: Arena) -> None:
    """Answer messages that ask for a report: the answers wait until all devices have answered."""
    for number in range(DEVICES - 1):
        device = arena.connect("bob", f"b{number}")
        device.answer = lambda message, device=device: answer_large(device, message)
    arena.connect("bob", "silent")
    mallory = arena.connect()
    arena.flood(mallory, (request(id, "message", "/reports/bob") for id in itertools.count(1)))
    arena.wait()


def answer_large(device: Attacker, message: dict[str, Any]) -> None:
    if "method" in message:
        text = b'{"status":300,"reason":"","id":%d,"data":%b}' % (message["id"], nested(LARGE))
        device.write(frame(text), 1)


def blocking_responses(arena: Arena) -> None:
    """Answer provisionally where a function of the site that blocks takes each response."""
    mallory = arena.connect()
    asked: list[int] = []
    mallory.answer = lambda message: asked.append(message["id"]) if "method" in message else None
    mallory.write(request(1, "get", "/ask-and-note"), 1)
    while not asked and not arena.is_over:
        arena.wait(0.01)
    text = b'{"status":180,"reason":"","id":%d,"data":{}}' % asked[0]
    arena.flood(mallory, itertools.repeat(frame(text)))
    note_running(arena)


def never_answered(arena: Arena, data: bytes) -> None:
    mallory = arena.connect()
    arena.flood(mallory, (request(id, "get", "/forget", data) for id in itertools.count(1)))


def backlog(arena: Arena, data: bytes) -> None:
    mallory = arena.connect()
    frames = (request(id, "get", "/echo", data) for id in itertools.count(2))
    arena.flood(mallory, itertools.chain([request(1, "get", "/slow")], frames))


def backlogs_of_a_user(arena: Arena) -> None:
    data = nested(LARGE)
    for number in range(DEVICES):
        mallory = arena.connect("mallory", f"m{number}")
        frames = (request(id, "get", "/echo", data) for id in range(2, 40))
        arena.flood(mallory, itertools.chain([request(1, "get", "/slow")], frames))


def partial_messages(arena: Arena) -> None:
    """Begin a message on each device, and never finish it."""
    for number in range(DEVICES):
        mallory = arena.connect("mallory", f"m{number}")
        mallory.write(frame(b"x" * LARGE, last=False), 1)
        arena.operations += 1
    arena.wait(1)


def many_fragments(arena: Arena) -> None:
    mallory = arena.connect()
    empty = [frame(b"x", 0, last=False)] * (LARGE - 1)
    arena.flood(mallory, [frame(b"x", last=False), *empty])


def pings(arena: Arena) -> None:
    """Ping without reading the answers."""
    mallory = arena.connect(listens=False)
    arena.flood(mallory, itertools.repeat(frame(b"p" * 125, 0x9)))


def bad_messages(arena: Arena) -> None:
    mallory = arena.connect()
    arena.flood(mallory, itertools.repeat(frame(b"[" * 1000)))


def remembered_answers(arena: Arena, data: bytes) -> None:
    """Have answers remembered, each with another id."""
    mallory = arena.connect()
    arena.flood(mallory, (request(id, "get", "/echo", data) for id in itertools.count(1)))


def answers_to_one_id(arena: Arena, data: bytes) -> None:
    """Have one answer remembered, and then use another id again and again."""
    mallory = arena.connect()
    frames = itertools.repeat(request(1, "get", "/echo", data))
    one_by_one(arena, mallory, itertools.chain([request(2, "get", "/echo")], frames))


def one_by_one(arena: Arena, attacker: Attacker, frames: Iterator[bytes]) -> None:
    """Send each frame after the answer to the one before."""
    for one in frames:
        before = sum(attacker.told.values())
        attacker.write(one, 1)
        while sum(attacker.told.values()) == before:
            if arena.is_over or attacker.has_ended:
                return
            time.sleep(0.0001)
        arena.operations += 1


# Messages to others


def unanswered(arena: Arena, data: bytes, devices: int, path: str = "/users/bob") -> None:
    for number in range(devices):
        arena.connect("bob", f"b{number}")
    mallory = arena.connect()
    arena.flood(mallory, (request(id, "message", path, data) for id in itertools.count(1)))


def departure(arena: Arena) -> None:
    """Let a device leave thousands of requests of the site unanswered, and go."""
    bob = arena.connect("bob", "b1")
    mallory = arena.connect()
    arena.flood(mallory, (request(id, "get", "/tell/bob") for id in range(1, 50001)))
    arena.wait(1)
    arena.disconnect(bob)
    arena.wait(2)
    note_running(arena)


def slow_reader(arena: Arena, data: bytes) -> None:
    """Send notifications to a client that does not read."""
    arena.connect("bob", "b1", listens=False)
    mallory = arena.connect()
    frames = (request(None, "message", "/users/bob", data) for _ in itertools.count())
    arena.flood(mallory, frames)


def mailbox(arena: Arena, data: bytes) -> None:
    """Send messages to a client that has dropped, and may come back."""
    bob = arena.connect("bob", "b1")
    arena.disconnect(bob)
    mallory = arena.connect()
    frames = (request(None, "message", "/users/bob", data) for _ in itertools.count())
    arena.flood(mallory, frames)


# Models


def calls(arena: Arena, data: bytes) -> None:
    """Sixteen calls from each of sixteen devices, to a user with sixteen silent devices."""
    for number in range(DEVICES):
        arena.connect("bob", f"b{number}")
    for number in range(DEVICES):
        mallory = arena.connect("mallory", f"m{number}")
        frames = (request(id, "session", f"/calls/bob/b{number}", data) for id in range(1, 17))
        arena.flood(mallory, frames)
        if arena.is_over:
            return
    arena.wait(1)


def calls_to_a_user(arena: Arena, data: bytes) -> None:
    for number in range(DEVICES):
        arena.connect("bob", f"b{number}")
    mallory = arena.connect("mallory", "m1")
    arena.flood(mallory, (request(id, "session", "/calls/bob", data) for id in range(1, 17)))
    arena.wait(1)


def calls_behind_a_slow_listener(arena: Arena) -> None:
    """Make a call and end it, again and again; the site's listener of "close" blocks."""
    arena.connect("bob", "b1")
    mallory = arena.connect("slowly", "m1")
    paths: list[str] = []

    def note_path(message: dict[str, Any]) -> None:
        path = message.get("data", {}).get("sessionPath")
        if path:
            paths.append(path)

    mallory.answer = note_path
    ids = itertools.count(1)
    while not arena.is_over and not mallory.has_ended:
        mallory.write(request(next(ids), "session", "/calls/bob"), 1)
        while not paths and not arena.is_over:
            time.sleep(0.0001)
        if paths:
            mallory.write(request(next(ids), "end", paths.pop()), 1)
            arena.operations += 1
    note_running(arena)


def rooms(arena: Arena) -> None:
    for number in range(DEVICES):
        mallory = arena.connect("mallory", f"m{number}")
        names = (f"{room}-{number}-" + LONG_NAME for room in range(100))
        frames = (
            request(id, "session", f"/rooms/rooms/{name}") for id, name in enumerate(names, 1)
        )
        arena.flood(mallory, frames)
    arena.wait(1)


def rooms_behind_a_slow_listener(arena: Arena) -> None:
    """Join a room and leave it, again and again; the site's listeners block.

    Another member stays, so that the room does not close.
    """
    staying = arena.connect("slowly", "s0")
    staying.write(request(1, "session", "/rooms/rooms/r"), 1)
    arena.wait(0.5)
    mallory = arena.connect("slowly", "m1")
    methods = itertools.cycle(["session", "end"])
    frames = (request(id, next(methods), "/rooms/rooms/r") for id in itertools.count(1))
    arena.flood(mallory, frames)
    note_running(arena)


def presences(arena: Arena) -> None:
    for number in range(DEVICES):
        mallory = arena.connect("mallory", f"m{number}")
        names = (f"{watched}-{number}-" + LONG_NAME for watched in range(1000))
        frames = (request(id, "subscribe", f"/presence/{name}") for id, name in enumerate(names, 1))
        arena.flood(mallory, frames)
        if arena.is_over:
            return
    arena.wait(1)


# Connections


def come_and_go(arena: Arena, fresh: bool) -> None:
    """Connect, send requests to a slow handler, and leave; 200 times."""
    ids = itertools.count(1)
    for number in range(200):
        client = arena.try_to_connect("mallory", f"m{number}" if fresh else "m1")
        if arena.is_over:
            break
        if client is not None:
            client.socket.sendall(b"".join(request(next(ids), "get", "/slow") for _ in range(330)))
            client.close()
    arena.wait(1)
    note_running(arena)


def slow_listener(arena: Arena) -> None:
    """Connect and leave, as one user, behind a listener of "online" that blocks."""
    for number in itertools.count():
        client = arena.try_to_connect("slowly", f"m{number}")
        if client is not None:
            client.close()
        if arena.is_over:
            break
    note_running(arena)


def takeovers(arena: Arena) -> None:
    """Connect as one device again and again, and leave the closing of the old ones open."""
    clients = []
    while not arena.is_over:
        clients.append(arena.try_to_connect("mallory", "m1"))
    arena.keep(clients)


def long_headers(arena: Arena) -> None:
    """Connect sixteen devices, each with as many headers as gunicorn lets through."""
    headers = [f"X-Padding-{number}: {'x' * 8000}" for number in range(88)]
    clients = [arena.try_to_connect("mallory", f"m{number}", headers) for number in range(DEVICES)]
    arena.wait(1)
    arena.keep(clients)


def hanging_handshakes(arena: Arena) -> None:
    """Open connections, send half of a handshake, and wait."""
    kept: list[socket.socket] = []
    with contextlib.suppress(OSError):
        while not arena.is_over and len(kept) < 3000:
            sock = socket.create_connection(("127.0.0.1", arena.server.port), 1)
            sock.sendall(b"GET /protoo HTTP/1.1\r\nHost: x\r\n")
            kept.append(sock)
            arena.operations += 1
    arena.wait(1)
    for sock in kept:
        sock.close()


def compressed(arena: Arena) -> None:
    """Send messages that are a thousand times as large as their frames, behind a slow handler."""
    client = arena.connect(headers=["Sec-WebSocket-Extensions: permessage-deflate"])
    deflater = zlib.compressobj(wbits=-15)
    text = b'{"method":"get","path":"/echo","id":%d,"data":{"x":"' + b"x" * LARGE + b'"}}'

    def compress(payload: bytes) -> bytes:
        data = deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH)
        whole = bytearray(frame(data[:-4]))
        whole[0] |= 0x40
        return bytes(whole)

    slow = compress(b'{"method":"get","path":"/slow","id":1}')
    frames = (compress(text % id) for id in itertools.count(2))
    arena.flood(client, itertools.chain([slow], frames))


def idle(arena: Arena) -> None:
    """Connect a thousand users, who make one request each."""
    for number in range(1000):
        arena.connect(f"user{number}").write(request(1, "get", "/echo"), 1)
        arena.operations += 1
    arena.wait(1)


def compressing(arena: Arena) -> None:
    """Connect a hundred users, who have the server inflate and deflate one message each."""
    deflater = zlib.compressobj(wbits=-15)
    payload = b'{"method":"get","path":"/echo","id":1,"data":{"x":"%b"}}' % (b"x" * 5000)
    data = deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH)
    whole = bytearray(frame(data[:-4]))
    whole[0] |= 0x40
    headers = ["Sec-WebSocket-Extensions: permessage-deflate"]
    for number in range(100):
        arena.connect(f"user{number}", headers=headers).write(bytes(whole), 1)
        arena.operations += 1
    arena.wait(1)


_GRACE = {"disconnect_grace_period": 30}

ATTACKS = {
    "idle": Attack(idle, "1000 idle connections"),
    "compressing": Attack(
        compressing, "100 connections that compress", settings={"compression": True}
    ),
    "provisional": Attack(
        lambda arena: provisional(arena, b"{}"), "provisional answers to one request of the site"
    ),
    "provisional-nested": Attack(
        lambda arena: provisional(arena, nested(LARGE)), "the same, nested data"
    ),
    "blocking-responses": Attack(blocking_responses, "the same, a function that blocks takes them"),
    "never-answered": Attack(
        lambda arena: never_answered(arena, b"{}"), "requests that no handler answers"
    ),
    "never-answered-nested": Attack(
        lambda arena: never_answered(arena, nested(LARGE)), "the same, nested data"
    ),
    "backlog": Attack(lambda arena: backlog(arena, b"{}"), "requests behind a slow handler"),
    "backlog-nested": Attack(lambda arena: backlog(arena, nested(LARGE)), "the same, nested data"),
    "backlog-nested-small": Attack(
        lambda arena: backlog(arena, nested(1500)), "the same, nested data of 1500 bytes"
    ),
    "backlogs-of-a-user": Attack(backlogs_of_a_user, "the same, with 16 devices"),
    "unanswered": Attack(
        lambda arena: unanswered(arena, b"{}", 1), "messages to one silent device"
    ),
    "unanswered-nested": Attack(
        lambda arena: unanswered(arena, nested(LARGE), 1), "the same, nested data"
    ),
    "fan-out": Attack(
        lambda arena: unanswered(arena, b"{}", DEVICES), "messages to a user with 16 silent devices"
    ),
    "fan-out-nested": Attack(
        lambda arena: unanswered(arena, nested(LARGE), DEVICES), "the same, nested data"
    ),
    "reports-nested": Attack(
        lambda arena: unanswered(arena, nested(LARGE), DEVICES, "/reports/bob"),
        "the same, with a report of all devices",
    ),
    "departure": Attack(
        departure, "a silent device leaves, and a slow function is told of each request"
    ),
    "report-answers": Attack(
        report_answers, "15 of 16 devices answer with large data, and a report waits for the last"
    ),
    "calls": Attack(
        lambda arena: calls(arena, nested(LARGE)),
        "16 calls from each of 16 devices to a user's 16 devices",
    ),
    "calls-to-a-user": Attack(
        lambda arena: calls_to_a_user(arena, nested(LARGE)), "16 calls that ring at 16 devices each"
    ),
    "calls-slow-listener": Attack(
        calls_behind_a_slow_listener, "calls made and ended, behind a slow listener"
    ),
    "presence": Attack(presences, "16 devices watch 1000 users each, with long names"),
    "rooms": Attack(rooms, "16 devices are in 100 rooms each, with long names"),
    "rooms-slow-listener": Attack(
        rooms_behind_a_slow_listener, "a room joined and left, behind slow listeners"
    ),
    "come-and-go": Attack(
        lambda arena: come_and_go(arena, False), "connect, send, leave; slow handler, one uuid"
    ),
    "come-and-go-fresh": Attack(
        lambda arena: come_and_go(arena, True), "the same, a fresh uuid each time"
    ),
    "slow-listener": Attack(slow_listener, "connect and leave behind a slow listener"),
    "takeovers": Attack(takeovers, "one device connects again and again"),
    "long-headers": Attack(long_headers, "16 devices with 88 headers of 8 KB each"),
    "hanging-handshakes": Attack(hanging_handshakes, "half of a handshake, on many connections"),
    "partial-messages": Attack(partial_messages, "16 devices begin a message of 65 KB"),
    "fragments": Attack(many_fragments, "a message of 65 000 fragments"),
    "pings": Attack(pings, "pings whose answers nobody reads"),
    "bad-messages": Attack(bad_messages, "messages that are not JSON"),
    "slow-reader": Attack(
        lambda arena: slow_reader(arena, b"{}"),
        "small notifications to a client that does not read",
    ),
    "mailbox": Attack(
        lambda arena: mailbox(arena, b"{}"),
        "small notifications to a client that is away",
        settings=_GRACE,
    ),
    "remembered-answers": Attack(
        lambda arena: remembered_answers(arena, b"{}"),
        "answers that are remembered",
        settings=_GRACE,
    ),
    "remembered-answers-large": Attack(
        lambda arena: remembered_answers(arena, b'{"x":"' + b"x" * 60000 + b'"}'),
        "the same, 60 KB each",
        settings=_GRACE,
    ),
    "answers-to-one-id": Attack(
        lambda arena: answers_to_one_id(arena, b'{"x":"' + b"x" * 60000 + b'"}'),
        "the same, one id again and again",
        settings=_GRACE,
    ),
    "compressed": Attack(
        compressed,
        "messages that inflate a thousandfold, behind a slow handler",
        settings={"compression": True},
    ),
    **VARIANTS,
}

#: {attack: what piles up}: a class of ours, or ``class/attribute`` for the items that its objects
#: have there.
HOLDS = {
    "answers-to-one-id": "Answer",
    "backlog": "WaitingRequest",
    "backlog-nested-small": "WaitingRequest",
    "blocking-responses": "ReceivedResponse",
    "calls": "Call",
    "calls-slow-listener": "Call",
    "calls-to-a-user": "Leg",
    "come-and-go-fresh": "WaitingRequest",
    "compressing": "Connection",
    "fan-out": "LocalTransaction",
    "idle": "Connection",
    "long-headers": "Connection",
    "mailbox": "Mailbox/_messages",
    "never-answered": "ReceivedRequest",
    "partial-messages": "Connection",
    "presence": "Watchers/_peers",
    "provisional": "ReceivedResponse",
    "remembered-answers": "Answer",
    "rooms": "Room",
    "rooms-slow-listener": "SiteEvent",
    "slow-listener": "Peer",
    "slow-reader": "Outbox/_queue",
    "takeovers": "Connection",
    "unanswered": "CoreTransaction",
}
