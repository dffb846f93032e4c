"""The floods: one client does one thing as fast as it can, for a while.

Each returns how many it has sent. Its own connection may be closed for that; nobody else's may.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from typing import Any, Callable

import gevent

from tests.servers.clients import PING, TEXT
from tests.transport.wire import frame

from .ground import Ground

#: Frames in one write.
BATCH = 100

#: Connections of the slow handshakes.
SLOW_HANDSHAKES = 40

MASK = bytes(4)

#: ``flood(ground, seconds)``
Flood = Callable[[Ground, float], int]


def flood_with(make_frame: Callable[[int], bytes]) -> Flood:
    """Return a flood of frames; the connection is made anew when the server has closed it."""

    def flood(ground: Ground, seconds: float) -> int:
        numbers = itertools.count(1)
        sent = 0
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with ground.connect("flood") as client:
                reader = gevent.spawn(client.drain)
                with contextlib.suppress(OSError):
                    while time.monotonic() < deadline and not reader.ready():
                        batch = [make_frame(next(numbers)) for _ in range(BATCH)]
                        client.send_bytes(b"".join(batch))
                        sent += BATCH
                        gevent.sleep(0)
                client.finish()
                # What the server had to say; it may have much.
                reader.join(2)
                reader.kill()
        return sent

    return flood


def text(message: dict[str, Any]) -> bytes:
    return frame(TEXT, json.dumps(message).encode(), mask=MASK)


def request(number: int) -> bytes:
    return text({"method": "get", "path": "/echo", "id": number, "data": {"n": number}})


def notification(number: int) -> bytes:
    return text({"method": "get", "path": "/echo", "data": {"n": number}})


def response(number: int) -> bytes:
    """A response that nobody has asked for."""
    return text({"status": 200, "reason": "OK", "id": number, "data": {}})


def fragment(number: int) -> bytes:
    """A message that never ends, byte by byte; every hundredth piece is a ping."""
    if number % BATCH == 0:
        return frame(PING, b"", mask=MASK)
    return frame(TEXT if number == 1 else 0, b" ", fin=False, mask=MASK)


def flood_with_handshakes(ground: Ground, seconds: float) -> int:
    """Connect and hang up, each time as another device."""
    count = 0
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with ground.connect("flood") as client:
            if count % 2:
                client.send_frame(8, b"\x03\xe8")
        count += 1
    return count


def flood_with_slow_handshakes(ground: Ground, seconds: float) -> int:
    """Begin many handshakes, and send a byte of each from time to time (slow loris)."""
    deadline = time.monotonic() + seconds
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(ground.dial()) for _ in range(SLOW_HANDSHAKES)]
        line = b"GET /protoo?username=flood&uuid=slow HTTP/1.1\r\nX-Slow: " + b"x" * 10_000
        for place in range(len(line)):
            if time.monotonic() > deadline:
                break
            for sock in socks:
                with contextlib.suppress(OSError):
                    sock.sendall(line[place : place + 1])
            gevent.sleep(0.1)
    return SLOW_HANDSHAKES


def flood_a_slow_reader(ground: Ground, seconds: float) -> int:
    """Send messages to a device that reads nothing; their sender is told, and so is the device."""
    sent = 0
    deadline = time.monotonic() + seconds
    with ground.connect("flood") as slow, ground.connect("flooder") as client:
        reader = gevent.spawn(client.drain)
        # The server stops reading when too many of them wait.
        client.set_patience(0.5)
        path, data = f"/users/flood/{slow.uuid}", {"x": "y" * 20_000}
        with contextlib.suppress(OSError):
            while time.monotonic() < deadline and not reader.ready():
                sent += 1
                message = {"method": "message", "path": path, "id": sent, "data": data}
                client.send_bytes(text(message))
                gevent.sleep(0)
        reader.kill()
    return sent


FLOODS: dict[str, Flood] = {
    "requests": flood_with(request),
    "notifications": flood_with(notification),
    "pings": flood_with(lambda number: frame(PING, b"flood", mask=MASK)),
    "fragments": flood_with(fragment),
    "bad messages": flood_with(lambda number: frame(TEXT, b"{", mask=MASK)),
    "responses": flood_with(response),
    "connections": flood_with_handshakes,
    "slow handshakes": flood_with_slow_handshakes,
    "slow reader": flood_a_slow_reader,
}
