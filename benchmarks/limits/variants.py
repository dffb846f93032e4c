"""More attacks: those of :mod:`.attacks` with other means, and all of them at once."""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
import threading
from typing import Any, Callable, Iterable, Iterator

from .arena import Arena, Attacker, frame, nested, request
from .attack import DEVICES, LARGE, LONG_NAME, Attack, note_running

#: A client's own words for a Close frame, a ping and a pong.
CLOSE, PING, PONG = 0x8, 0x9, 0xA


def connect_devices(arena: Arena, username: str, listens: bool = True) -> list[Attacker]:
    return [arena.connect(username, f"{username}{n}", listens) for n in range(DEVICES)]


def in_parallel(arena: Arena, attackers: Iterable[Attacker], frames: Callable[[], Any]) -> None:
    """Flood by all of them at once, each with frames of its own."""
    threads = [
        threading.Thread(target=arena.flood, args=(attacker, frames())) for attacker in attackers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def flood_by_devices(arena: Arena, frames: Callable[[], Any], listens: bool = True) -> None:
    in_parallel(arena, connect_devices(arena, "mallory", listens), frames)
    arena.wait(1)


def requests(path: str, data: bytes = b"{}", method: str = "get") -> Iterator[bytes]:
    return (request(id, method, path, data) for id in itertools.count(1))


def notifications(path: str, data: bytes = b"{}", method: str = "get") -> Iterator[bytes]:
    return itertools.repeat(request(None, method, path, data))


def after_a_slow_one(frames: Iterator[bytes]) -> Iterator[bytes]:
    return itertools.chain([request(1, "get", "/slow")], itertools.islice(frames, 1, None))


def by_many_users(arena: Arena) -> None:
    """Fill the backlogs, and the open requests, of 32 users with a device each."""
    users = [arena.connect(f"user{number}", "u") for number in range(32)]
    in_parallel(arena, users, lambda: after_a_slow_one(requests("/forget", nested(1500))))


def large_answers(arena: Arena) -> None:
    """Answer what the site asks, finally, with as many objects as possible."""
    mallory = arena.connect()
    nested_data = nested(LARGE)

    def answer(message: dict[str, Any]) -> None:
        if "method" in message:
            text = b'{"status":200,"reason":"","id":%d,"data":%b}' % (message["id"], nested_data)
            mallory.write(frame(text), 1)

    mallory.answer = answer
    arena.flood(mallory, requests("/tell/mallory"))


def many_answers(arena: Arena) -> None:
    """Answer thousands of requests of the site at once, where a function blocks for each."""
    mallory = arena.connect()
    asked: list[int] = []
    mallory.answer = lambda message: asked.append(message["id"]) if "method" in message else None
    arena.flood(mallory, itertools.islice(requests("/tell/mallory"), 5000))
    arena.settle()
    answers = (frame(b'{"status":200,"reason":"","id":%d,"data":{}}' % id) for id in list(asked))
    arena.flood(mallory, answers)
    arena.wait(0.5)
    note_running(arena)


def progress_of_calls(arena: Arena) -> None:
    """Ring, and let each of 16 devices answer with large provisional responses."""
    nested_data = nested(LARGE)

    def answer(device: Attacker, message: dict[str, Any]) -> None:
        if "method" in message:
            text = b'{"status":180,"reason":"","id":%d,"data":%b}' % (message["id"], nested_data)
            device.write(frame(text), 1)

    for device in connect_devices(arena, "bob"):
        device.answer = lambda message, device=device: answer(device, message)
    mallory = arena.connect()
    arena.flood(mallory, itertools.islice(requests("/calls/bob", method="session"), 16))
    arena.wait()


def inside_a_ringing_call(arena: Arena) -> None:
    """Send large messages inside calls that ring at 16 devices."""
    connect_devices(arena, "bob")
    mallory = arena.connect()
    paths: list[str] = []

    def note_path(message: dict[str, Any]) -> None:
        path = message.get("data", {}).get("sessionPath")
        if path:
            paths.append(path)

    mallory.answer = note_path
    arena.flood(mallory, itertools.islice(requests("/calls/bob", method="session"), 8))
    arena.wait(1)
    if paths:
        places = itertools.cycle(paths)
        frames = (
            request(id, "candidate", next(places), nested(8000)) for id in itertools.count(100)
        )
        arena.flood(mallory, frames)


def told_by_handlers(arena: Arena, path: str) -> None:
    """Have a handler write to many clients for each request; they do not read."""
    connect_devices(arena, "bob", listens=False)
    mallory = arena.connect()
    arena.flood(mallory, requests(path, b'{"x":"' + b"x" * 4000 + b'"}'))


def carbons(arena: Arena) -> None:
    """Send messages of which fifteen other devices get copies, and do not read them."""
    connect_devices(arena, "bob", listens=False)
    mallory = arena.connect()
    for number in range(DEVICES - 1):
        arena.connect("mallory", f"c{number}", listens=False)
    arena.flood(mallory, requests("/carbons/bob", nested(4000), "message"))


def reused_ids(arena: Arena) -> None:
    """Use an id again while it is in use, and when it is free."""
    mallory = arena.connect()
    slow = request(1, "get", "/slow")
    frames = itertools.cycle([request(2, "get", "/forget", nested(500)), request(3, "get", "/e")])
    arena.flood(mallory, itertools.chain([slow], frames))


def deaf(arena: Arena, frames: Callable[[], Any]) -> None:
    """Connect sixteen devices that never read, and let the server have something to say."""
    flood_by_devices(arena, frames, listens=False)


def send_and_reset(arena: Arena) -> None:
    """Connect, send 1 MiB, and break the connection; one device after another."""
    text = b"".join(itertools.islice(requests("/slow", nested(8000)), 128))
    for number in itertools.count():
        client = arena.try_to_connect("mallory", f"m{number % DEVICES}")
        if client is not None:
            client.socket.settimeout(0.2)
            with contextlib.suppress(OSError):
                client.socket.sendall(text)
            linger = struct.pack("ii", 1, 0)
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            client.socket.close()
        if arena.is_over:
            break
    note_running(arena)


def endless_close(arena: Arena) -> None:
    """Send a Close frame, and then go on, without reading."""
    closes = itertools.chain([frame(b"\x03\xe8", CLOSE)], requests("/echo", nested(LARGE)))
    arena.flood(arena.connect(listens=False), closes)


def compressed_answers(arena: Arena) -> None:
    """Have large answers compressed for sixteen devices that do not read."""
    headers = ["Sec-WebSocket-Extensions: permessage-deflate"]
    devices = [arena.connect("mallory", f"m{n}", False, headers) for n in range(DEVICES)]
    in_parallel(arena, devices, lambda: requests("/echo", nested(LARGE)))


def everything(arena: Arena) -> None:
    """Do everything at once, as one user with sixteen devices that do not read.

    Each bound is filled that a user has: calls, rooms, watched users, requests of the site that
    are not answered, open requests, the outbox, and the backlog.
    """
    devices = connect_devices(arena, "mallory", listens=False)
    for number, device in enumerate(devices):
        ids = itertools.count(1)
        watched = (f"/presence/{n}-{number}-{LONG_NAME}" for n in range(1000))
        rooms = (f"/rooms/rooms/{n}-{number}-{LONG_NAME[:240]}" for n in range(100))
        frames = [
            *(request(next(ids), "session", "/calls/bob", nested(LARGE)) for _ in range(2)),
            *(request(next(ids), "subscribe", path) for path in watched),
            *(request(next(ids), "session", path) for path in rooms),
        ]
        if number == 0:
            connect_devices(arena, "bob", listens=False)
            frames += [request(next(ids), "get", "/tell/mallory") for _ in range(7600)]
        arena.flood(device, frames)
    arena.settle()
    for device in devices:
        arena.flood(device, (request(id, "get", "/forget") for id in range(10000, 14095)))
    arena.settle()
    for number in range(12):
        eve = arena.connect(f"eve{number}", "e")
        large = notifications("/users/mallory", b'{"x":"%b"}' % (b"x" * 4000), "message")
        arena.flood(eve, itertools.islice(large, 400))
        small = notifications("/users/mallory", method="message")
        arena.flood(eve, itertools.islice(small, 4000))
    arena.settle()
    for device in devices:
        waiting = after_a_slow_one(requests("/echo", nested(LARGE)))
        arena.flood(device, itertools.islice(waiting, 40))
    arena.settle()


_GRACE = {"disconnect_grace_period": 15}
_COMPRESSION = {"compression": True}


def _of_devices(path: str, data: bytes = b"{}") -> Callable[[Arena], None]:
    return lambda arena: flood_by_devices(arena, lambda: requests(path, data))


VARIANTS = {
    "everything": Attack(everything, "one user does everything at once, with 16 devices"),
    "many-users": Attack(by_many_users, "32 users with full backlogs"),
    "never-answered-by-devices": Attack(
        _of_devices("/forget", nested(1500)), "requests that no handler answers, of 16 devices"
    ),
    "notifications-backlog": Attack(
        lambda arena: flood_by_devices(
            arena,
            lambda: itertools.chain([request(1, "get", "/slow")], notifications("/echo")),
        ),
        "notifications behind a slow handler, of 16 devices",
    ),
    "large-answers": Attack(large_answers, "large answers to requests of the site"),
    "many-answers": Attack(
        many_answers,
        "5000 answers at once to requests of the site; a slow function is told of each",
    ),
    "progress-of-calls": Attack(
        progress_of_calls, "large provisional answers of 16 devices that ring"
    ),
    "inside-ringing-calls": Attack(
        inside_a_ringing_call, "large messages inside calls that ring at 16 devices"
    ),
    "handlers-notify": Attack(
        lambda arena: told_by_handlers(arena, "/notify/bob"),
        "a handler notifies 16 devices that do not read",
    ),
    "handlers-broadcast": Attack(
        lambda arena: told_by_handlers(arena, "/broadcast"),
        "a handler broadcasts to 16 devices that do not read",
    ),
    "carbons": Attack(carbons, "copies of each message for 15 devices that do not read"),
    "long-methods": Attack(
        lambda arena: flood_by_devices(arena, lambda: requests("/echo", method="m" * 60000)),
        "requests with long methods, of 16 devices",
    ),
    "long-paths": Attack(
        lambda arena: flood_by_devices(arena, lambda: requests("/" + "p" * 4094)),
        "requests with long paths, of 16 devices",
    ),
    "too-long-paths": Attack(
        lambda arena: flood_by_devices(arena, lambda: requests("/" + "p" * 60000)),
        "requests with paths that are too long",
    ),
    "reused-ids": Attack(reused_ids, "an id again and again"),
    "bad-data": Attack(
        lambda arena: flood_by_devices(arena, lambda: requests("/fail")),
        "requests whose handler raises an exception",
    ),
    "small-pings": Attack(
        lambda arena: deaf(arena, lambda: itertools.repeat(frame(b"pp", PING))),
        "pings of two bytes, of 16 devices that do not read",
    ),
    "pongs": Attack(
        lambda arena: flood_by_devices(arena, lambda: itertools.repeat(frame(b"9" * 125, PONG))),
        "pongs that nobody has asked for",
        settings=_GRACE,
    ),
    "echo-unread": Attack(
        lambda arena: deaf(arena, lambda: requests("/echo")),
        "small requests of 16 devices that do not read",
    ),
    "compressed-unread": Attack(
        compressed_answers, "the same, large and compressed", settings=_COMPRESSION
    ),
    "endless-close": Attack(endless_close, "a Close frame, and then more"),
    "send-and-reset": Attack(send_and_reset, "connect, send 1 MiB, break the connection"),
    "send-and-reset-grace": Attack(send_and_reset, "the same", settings=_GRACE),
}
