"""The memory that one client can take by the ways in which a connection keeps bytes.

Each test goes beyond a bound of docs/limits.md, and asks the kernel for the memory.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import zlib
from typing import Callable, Iterator

import pytest

from .clients import CLOSE, PING, TEXT, RawClient, Site, eventually
from .memory import MIB, measure_growth
from .processes import DEADLINE, Server

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel of Linux")

#: Defaults of PROTOO_MAX_PEERS_PER_USER and PROTOO_MAX_MESSAGE_SIZE.
DEVICES, MESSAGE = 16, 65536

CONTINUATION = 0x0
UNFINISHED = 0x00


@pytest.fixture
def server(server: Server) -> Server:
    if server.kind == "flask-run":
        pytest.skip("the development server has a thread for each connection")
    return server


@pytest.fixture
def devices(site: Site, alice: str) -> Iterator[list[RawClient]]:
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(site.connect_raw(alice, f"a{number}")) for number in range(DEVICES)
        ]


def read_to_the_close(client: RawClient) -> tuple[int, str]:
    """Read up to the Close frame; returns its code and reason."""
    opcode, payload = client.read_frame()
    while opcode != CLOSE:
        opcode, payload = client.read_frame()
    return int.from_bytes(payload[:2], "big"), payload[2:].decode()


def test_messages_that_are_never_finished(
    server: Server, site: Site, devices: list[RawClient], bob: str
) -> None:
    with measure_growth(server) as growth, site.connect(bob) as b:
        for client in devices:
            client.send_frame(TEXT, b"x" * (MESSAGE - 1), first=UNFINISHED)
            client.send_frame(CONTINUATION, b"x", first=UNFINISHED)
            client.send_frame(PING)
        # The answers show that everything before has been read, and is within the limit.
        for client in devices:
            assert client.read_frame() == (0xA, b"")
        b.nothing_came()
    assert growth.peak < 3 * MIB  # measured: 1.4
    devices[0].send_frame(CONTINUATION, b"x", first=UNFINISHED)
    assert devices[0].read_close() == (1009, f"a message has at most {MESSAGE} bytes")


def test_a_message_of_as_many_fragments_as_it_has_bytes(
    server: Server, site: Site, alice: str
) -> None:
    with site.connect_raw(alice) as client, measure_growth(server) as growth:
        client._sock.sendall(b"\x01\x81\0\0\0\0x" + b"\x00\x81\0\0\0\0x" * (MESSAGE - 1))
        client.send_frame(PING)
        assert client.read_frame() == (0xA, b"")
        client.send_frame(CONTINUATION, b"x", first=UNFINISHED)
        assert client.read_close()[0] == 1009
    assert growth.peak < 2 * MIB  # measured: 0


def test_small_messages_for_a_client_that_does_not_read(
    server: Server, site: Site, alice: str, bob: str
) -> None:
    with site.connect_raw(alice, receive_buffer=4096), site.connect(bob) as b:
        with measure_growth(server) as growth:
            # Far more than the 1 MiB of PROTOO_MAX_OUTBOX: it is closed meanwhile.
            sent = int(site.post(f"/push/{alice}?size=1&more=100000"))
            assert 10_000 < sent < 200_000
            eventually(lambda: site.get(f"/peers?username={alice}"), [])
            b.nothing_came()
    assert growth.peak < 8 * MIB  # measured: 4.2


def test_small_messages_for_a_client_that_is_away(
    server: Server, site_at: Callable[[str], Site], alice: str, bob: str
) -> None:
    patient = site_at("/patient")
    client = patient.connect_raw(alice)
    client.break_off()
    with patient.connect(bob) as b:
        eventually(lambda: b.request("get", "/peers")["data"]["peers"].count(f"{alice}/a1"), 1)
        with measure_growth(server) as growth:
            for _ in range(9000):  # 1 MiB of PROTOO_MAX_OUTBOX, and some more
                b.notify("message", f"/users/{alice}")
            # One user takes an eighth of it; the others' messages still find room.
            assert f"{alice}/a1" in b.request("get", "/peers")["data"]["peers"]
    assert growth.peak < 2 * MIB


def test_pings_whose_answers_are_not_read(server: Server, site: Site, alice: str) -> None:
    with site.connect_raw(alice, receive_buffer=4096) as client:
        client._sock.settimeout(DEADLINE)
        pings = b"\x89\xfd\0\0\0\0" + b"p" * 125
        with measure_growth(server) as growth, contextlib.suppress(OSError):
            for _ in range(1000):  # 26 MB: the kernel has 4, PROTOO_MAX_OUTBOX 1
                client._sock.sendall(pings * 200)
        eventually(lambda: site.get(f"/peers?username={alice}"), [])
    assert growth.peak < 4 * MIB  # measured: 0


def test_compressed_messages_that_are_a_thousand_times_as_large(
    server: Server, site_at: Callable[[str], Site], alice: str, bob: str
) -> None:
    squeezed = site_at("/squeezed")
    cookie = squeezed.login(alice)
    compressor = zlib.compressobj(wbits=-15)
    body = b'{"method":"message","path":"/","data":{"x":"%b"}}' % (b"x" * 65000)
    stream = b""
    for _ in range(150):
        data = (compressor.compress(body) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]
        head = b"\xc1\xfe" + len(data).to_bytes(2, "big")
        if len(data) < 126:
            head = bytes((0xC1, 0x80 | len(data)))
        stream += head + bytes(4) + data
    sock = socket.create_connection(("127.0.0.1", squeezed.port), DEADLINE)
    headers = {"Sec-WebSocket-Extensions": "permessage-deflate"}
    client = RawClient(
        sock, "/squeezed/protoo?uuid=a1", Host=squeezed.host, Cookie=cookie, **headers
    )
    with client, squeezed.connect(bob) as b, measure_growth(server) as growth:
        client._sock.sendall(stream)
        code, reason = read_to_the_close(client)
        b.nothing_came()
    assert (code, reason) == (1008, "too much in compressed messages at once")
    assert growth.peak < 3 * MIB  # measured: 1; before, it was not closed at all
