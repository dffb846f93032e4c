"""What ``simple_websocket.Client`` lacks, and ours has.

When one of the tests of the stock class fails with a newer release, that override can go.
"""

from __future__ import annotations

import contextlib
import gc
import queue
import select
import socket
import subprocess
import sys
import threading
import warnings
from typing import Any

import pytest
import simple_websocket

from protoo_flask.client import websocket
from protoo_flask.client.events import Refused
from protoo_flask.client.handshake import Handshake

from .conftest import in_thread
from .scripted_server import DEADLINE, ScriptedServer, frame


def error_of_stock(url: str) -> tuple[type, str]:
    """Return the type and the text of the error of an attempt that fails."""
    # The stock class does not close the socket.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            Stock(url)
        except Exception as error:  # noqa: BLE001
            found = type(error), str(error)
        else:
            raise AssertionError("the attempt has not failed")
        gc.collect()
    return found


class Ours:
    """Our class, with the verbs of the stock one."""

    def __init__(self, url: str) -> None:
        self.received: queue.Queue[str] = queue.Queue()
        self.ws = websocket.connect(Handshake(url, "a1"), self.received.put, 25)
        self.thread = threading.Thread(target=self.ws.run, daemon=True)
        self.thread.start()

    def receive(self, timeout: float) -> str | None:
        try:
            return self.received.get(timeout=timeout)
        except queue.Empty:
            return None

    def send(self, text: str) -> None:
        assert self.ws.send_text(text.encode())

    def close(self) -> None:
        self.ws.close(1000)
        self.join()

    def join(self) -> int:
        self.thread.join(DEADLINE)
        assert not self.thread.is_alive()
        return self.ws.code


class Stock:
    def __init__(self, url: str) -> None:
        self.ws = simple_websocket.Client(url, subprotocols="protoo")

    def receive(self, timeout: float) -> Any:
        return self.ws.receive(timeout)

    def send(self, text: str) -> None:
        self.ws.send(text)

    def close(self) -> None:
        self.ws.close()
        self.join()

    def join(self) -> int:
        self.ws.thread.join(DEADLINE)
        return int(self.ws.close_reason)


def end(client: Any) -> None:
    """End it, if the server has not."""
    try:
        client.close()
    except (OSError, simple_websocket.ConnectionClosed):
        client.join()


@pytest.fixture
def next_read(monkeypatch):
    """Return a function that waits until a client reads from its server.

    It returns the time-out of the socket.
    """
    reads: queue.Queue[tuple[int, float | None]] = queue.Queue()

    def recv(sock, *args):
        with contextlib.suppress(OSError):
            reads.put((sock.getpeername()[1], sock.gettimeout()))
        return real(sock, *args)

    def next_read(server):
        while True:
            port, timeout = reads.get(timeout=DEADLINE)
            if port == server.port:
                return timeout

    real = socket.socket.recv
    monkeypatch.setattr(socket.socket, "recv", recv)
    return next_read


# Messages that come with the 101


def test_the_stock_class_leaves_messages_that_come_with_the_101(next_read):
    more = threading.Event()

    def script(line):
        line.accept(frame(0x1, b"welcome"))
        more.wait(DEADLINE)
        line.send("second")
        line.read_frame()

    with ScriptedServer(script) as server:
        client = Stock(server.url)
        next_read(server)
        next_read(server)  # it waits for more, and has not handed over what has come
        assert client.receive(0) is None
        more.set()
        assert client.receive(DEADLINE) == "welcome"
        end(client)


def test_ours_reads_messages_that_come_with_the_101():
    def script(line):
        line.accept(frame(0x1, b"welcome"))
        line.read_frame()

    with ScriptedServer(script) as server:
        client = Ours(server.url)
        assert client.receive(DEADLINE) == "welcome"
        end(client)


def test_ours_reads_a_101_that_comes_in_parts():
    def script(line):
        line.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sendall = line.sock.sendall
        parts = []
        slow = type("Slow", (), {"sendall": parts.append, "recv": line.sock.recv})()
        real, line.sock = line.sock, slow
        line.accept(frame(0x1, b"welcome"))
        line.sock = real
        for byte in b"".join(parts):
            sendall(bytes([byte]))
        line.read_frame()

    with ScriptedServer(script) as server:
        client = Ours(server.url)
        assert client.receive(DEADLINE) == "welcome"
        end(client)


# Host


@pytest.mark.parametrize(("kind", "has_port"), [(Stock, False), (Ours, True)])
def test_host_has_its_port(kind, has_port):
    def script(line):
        line.accept()
        line.read_frame()
        return line.head

    server = ScriptedServer(script)
    end(kind(server.url))
    (head,) = server.stop()
    host = f"127.0.0.1:{server.port}" if has_port else "127.0.0.1"
    assert f"\r\nHost: {host}\r\n".lower().encode() in head.lower() + b"\r\n"


# Addresses


@pytest.fixture
def two_addresses(monkeypatch):
    """Return a function that gives a host two addresses."""

    def give(first_port, second_port):
        def getaddrinfo(host, port, *args, **kwargs):
            kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
            return [(*kind, ("127.0.0.1", each)) for each in (first_port, second_port)]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    return give


def accept_and_wait(line):
    line.accept()
    line.read_frame()


def test_the_stock_class_tries_only_the_first_address(two_addresses):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # does not listen, so a connection is refused
        two_addresses(free.getsockname()[1], 1)
        # 1.0.0 asks the system by itself, and does not find the name.
        kind, _ = error_of_stock("ws://two.example/protoo")
        assert kind in (ConnectionRefusedError, socket.gaierror)


def test_ours_tries_the_second_address_when_the_first_refuses(two_addresses):
    with ScriptedServer(accept_and_wait) as server, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        two_addresses(free.getsockname()[1], server.port)
        end(Ours("ws://two.example/protoo"))


@pytest.fixture
def silent_port():
    """Return a port that takes a connection neither in nor up, as a dead host."""
    with socket.socket() as listener, socket.socket() as one, socket.socket() as two:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for other in (one, two):  # the queue is full afterwards
            other.setblocking(False)
            other.connect_ex(listener.getsockname())
        with socket.socket() as probe:
            probe.setblocking(False)
            probe.connect_ex(listener.getsockname())
            if select.select([], [probe], [], 0.1)[1]:
                pytest.skip("this system has no queue that is full")
        yield listener.getsockname()[1]


def test_ours_tries_the_second_address_when_the_first_is_silent(two_addresses, silent_port):
    with ScriptedServer(accept_and_wait) as server:
        two_addresses(silent_port, server.port)
        end(Ours("ws://two.example/protoo"))


def test_ours_gives_up_when_no_address_answers(two_addresses, silent_port, monkeypatch):
    monkeypatch.setattr(websocket, "HANDSHAKE_TIMEOUT", 0.3)
    two_addresses(silent_port, silent_port)
    with pytest.raises(OSError, match="timed out"):
        Ours("ws://two.example/protoo")


# A server that never answers the handshake


def test_the_stock_class_waits_for_ever_for_the_101(next_read):
    may_end = threading.Event()

    def script(line):
        line.read_head()
        may_end.wait(DEADLINE)

    server = ScriptedServer(script)
    join = in_thread(lambda: error_of_stock(server.url))
    assert next_read(server) is None
    may_end.set()
    join()
    server.stop()


@pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 101 Switching Protocols\r\n"])
def test_ours_gives_up_when_the_101_does_not_come(monkeypatch, beginning):
    monkeypatch.setattr(websocket, "HANDSHAKE_TIMEOUT", 0.3)

    def script(line):
        line.read_head()
        line.sock.sendall(beginning)
        line.sock.recv(1)

    with ScriptedServer(script) as server:
        with pytest.raises(OSError, match="has not answered the handshake"):
            Ours(server.url)


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-OpenSSH_9.6\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\nhello", b""]
)
def test_ours_takes_any_answer_for_a_failed_attempt(answer):
    def script(line):
        line.read_head()
        line.sock.sendall(answer)

    with ScriptedServer(script) as server:
        with pytest.raises((*websocket.FAILURES, Refused)):
            Ours(server.url)


# A refusal


def refuse(line):
    line.read_head()
    line.sock.sendall(
        b"HTTP/1.1 403 FORBIDDEN\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Retry-After: 7\r\nContent-Length: 20\r\n\r\nbanned until Monday!"
    )


def test_the_stock_class_tells_only_the_status_of_a_refusal():
    with ScriptedServer(refuse) as server:
        kind, text = error_of_stock(server.url)
        assert kind is simple_websocket.ConnectionError
        assert "banned" not in text


def test_ours_tells_the_text_of_a_refusal():
    with ScriptedServer(refuse) as server:
        with pytest.raises(Refused) as caught:
            Ours(server.url)
        refused = caught.value
        assert (refused.status, refused.reason) == (403, "banned until Monday!")
        assert refused.retry_after == 7
        assert str(refused) == "403 banned until Monday!"


# The end


@pytest.mark.parametrize(("kind", "code"), [(Stock, 1005), (Ours, 1006)])
def test_the_code_of_a_connection_that_broke(kind, code):
    with ScriptedServer(lambda line: line.accept()) as server:
        assert kind(server.url).join() == code


@pytest.mark.parametrize(("kind", "opcode"), [(Stock, -1), (Ours, 0x8)])
def test_a_close_of_the_server_is_answered(kind, opcode):
    def script(line):
        line.accept()
        line.read_text()
        line.close(3001, "authorization revoked")
        return line.read_frame()[0]

    server = ScriptedServer(script)
    client = kind(server.url)
    client.send("go")
    assert client.join() == 3001
    assert server.stop() == [opcode]


@pytest.mark.parametrize("kind", [Stock, Ours])
def test_the_server_can_read_the_close(kind):
    def script(line):
        line.accept()
        message = frame(0x1, b"x" * 50_000)
        # Until the Close is there; the client has much to read then.
        while not select.select([line.sock], [], [], 0)[0]:
            line.sock.sendall(message)
        assert line.read_frame()[0] == 0x8
        for _ in range(20):
            line.sock.sendall(message)
        line.close(1000)
        return line.read_frame()[0]  # the end of the connection, and no error

    server = ScriptedServer(script)
    client = kind(server.url)
    assert client.receive(DEADLINE) is not None
    client.close()
    if kind is Ours:
        assert server.stop() == [-1]
    else:
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            server.stop()


def test_ours_reports_a_server_that_breaks_the_protocol():
    def script(line):
        line.accept()
        line.sock.sendall(b"\xf1\x00")  # reserved bits
        return line.read_frame()

    server = ScriptedServer(script)
    assert Ours(server.url).join() == 1002
    assert server.stop()[0][0] == 0x8


# Writing from several greenlets

WRITERS = """
from gevent import monkey; monkey.patch_all()
import gevent, os, socket, sys, threading
from tests.client.test_stock_class import Ours, Stock, end
kind, url = {"stock": Stock, "ours": Ours}[sys.argv[1]], sys.argv[2]
client = kind(url)
sock = client.ws.sock if kind is Stock else client.ws.sock._sock
sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 20_000)  # it takes a part of a message
def write(letter):
    for _ in range(10):
        client.send(letter * 30_000)
threads = [threading.Thread(target=write, args=(letter,)) for letter in "abcdefgh"]
for thread in threads: thread.start()
for thread in threads: thread.join()
print("written", flush=True)
gevent.get_hub().threadpool.apply(sys.stdin.read)
if kind is Stock:
    client.ws.sock.shutdown(2)
    os._exit(0)
end(client)
"""


def run_writers(kind: str) -> list[bytes]:
    """Return the messages that 8 greenlets have written to a server that reads more slowly."""
    may_end = threading.Event()

    def script(line):
        line.accept()
        found = []
        while len(found) < 80:
            opcode, payload = line.read_frame()
            if opcode != 0x1:
                break
            found.append(payload)
        may_end.set()
        return found

    server = ScriptedServer(script)
    command = [sys.executable, "-c", WRITERS, kind, server.url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        # The stock class may have lost a part that the server waits for.
        assert process.stdout.readline() == b"written\n"
        if kind == "ours":
            assert may_end.wait(DEADLINE)
        process.stdin.close()
        process.wait(DEADLINE)
    return server.stop()[0]


def are_whole(messages: list[bytes]) -> bool:
    return sorted(messages) == sorted(
        letter.encode() * 30_000 for letter in "abcdefgh" for _ in range(10)
    )


def test_the_stock_class_loses_bytes_among_greenlets():
    assert not are_whole(run_writers("stock"))


def test_ours_loses_nothing_among_greenlets():
    assert are_whole(run_writers("ours"))
