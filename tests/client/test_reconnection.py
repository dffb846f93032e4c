"""Connections that break, servers that go, and what becomes of messages meanwhile."""

from __future__ import annotations

import contextlib
import http.cookiejar
import os
import queue
import socket
import ssl
import subprocess
import sys
import threading
import urllib.request

import pytest

from protoo_flask.client import Client, Disconnected, Refused, connector, incoming, pipe
from tests.browser.proxy import Proxy
from tests.cluster.tls import make_certificate
from tests.servers.processes import start

from .conftest import Events, in_thread
from .scripted_server import DEADLINE, Line, ScriptedServer, frame


@pytest.fixture
def peers(make_client, proxy, alice):
    """Return a client behind a proxy, and one of another user that is not."""
    client = make_client(port=proxy.port, repeat=True)
    other = make_client(f"user=other-than-{alice}").connect(DEADLINE)
    return client, other


# Pending requests


def test_a_request_is_repeated_and_handled_once(peers, proxy, alice):
    client, other = peers
    events = Events(client, "open", "close")
    client.connect(DEADLINE)
    events.next("open")
    held = client.send("get", "/hold", {"name": alice})
    next(iter(held))
    proxy.reset()
    closed = events.next("close")
    assert (closed.code, closed.will_reconnect) == (1006, True)
    events.next("open")
    other.request("get", "/release")
    assert held.wait(DEADLINE).data == {"count": 1}


def test_without_repeat_a_request_ends_with_410(peers, proxy, alice):
    client, other = peers
    client.connect(DEADLINE)
    held = client.send("get", "/hold", {"name": alice}, repeat=False)
    repeated = client.send("get", "/hold", {"name": alice})
    next(iter(held))
    proxy.reset()
    response = held.wait(DEADLINE)
    assert (response.status, response.is_local) == (410, True)
    assert response.reason.startswith("connection lost (1006")
    next(iter(repeated))  # the server has it, by one of the connections
    other.request("get", "/release")
    assert repeated.wait(DEADLINE).status == 200


def test_messages_wait_for_the_next_connection_in_order(make_client, proxy):
    client = make_client(port=proxy.port)
    events = Events(client, "open", "close")
    early = client.send("get", "/echo", {"n": 0})
    client.connect(DEADLINE)
    events.next("open")
    assert early.wait().data == {"n": 0}
    proxy.cut()
    events.next("close")
    order = []
    waiting = [
        client.send("get", "/echo", {"n": n}, lambda res: order.append(res.data["n"]))
        for n in range(5)
    ]
    client.notify("get", "/nowhere")
    proxy.restore()
    assert [each.wait(DEADLINE).status for each in waiting] == [200] * 5
    client.close()
    assert order == [0, 1, 2, 3, 4]


def test_a_waiting_request_ends_in_time(make_client, proxy):
    client = make_client(port=proxy.port).connect(DEADLINE)
    events = Events(client, "close")
    proxy.cut()
    events.next("close")
    assert client.request("get", "/echo", timeout=0.05).status == 408


def test_a_notification_that_waits_too_long_is_not_sent():
    may_answer = threading.Event()

    def script(line):
        line.read_head()  # the answer comes late
        may_answer.wait(DEADLINE)
        line._buffer = line.head + b"\r\n\r\n"
        line.accept()
        return line.read_text()

    with ScriptedServer(script) as server:
        client = Client(server.url, request_timeout=0.05, reconnect=None)
        join = in_thread(client.connect)
        client.notify("typing", "/users/bob")
        assert client.request("get", "/echo").status == 408  # so its time is up
        client.send("get", "/last", timeout=DEADLINE)
        may_answer.set()
        join()
        assert '"/last"' in server.stop()[0]
        client.close()


def test_too_much_that_waits_is_refused(make_client):
    client = make_client()
    text = "x" * 1_000_000
    waiting = [client.send("get", "/echo", {"text": text}) for _ in range(9)]
    assert waiting[-1].response.status == 503
    assert waiting[0].response is None
    with pytest.raises(Disconnected, match="too many messages wait"):
        client.notify("get", "/echo", {"text": text})


def test_a_reply_during_an_absence_is_given_when_the_server_asks_again(peers, proxy, alice):
    client, other = peers
    events = Events(client, "request", "close")
    client.connect(DEADLINE)
    asked = other.send("message", f"/users/{alice}", {"text": "hi"})
    req = events.next("request")
    proxy.cut()
    events.next("close")
    req.reply(200, "heard")
    proxy.restore()
    assert asked.wait(DEADLINE).reason == "heard"
    assert events.is_empty


def test_a_message_that_is_too_large_is_not_repeated(make_client, caplog):
    client = make_client(repeat=True).connect(DEADLINE)
    response = client.request("get", "/echo", {"text": "x" * 100_000})
    assert (response.status, response.is_local) == (410, True)
    assert "1009" in response.reason
    client.connect(DEADLINE)
    assert client.request("get", "/echo").status == 200


# Attempts


def test_the_delay_doubles_up_to_the_maximum_and_is_random(monkeypatch):
    limits = []
    enough = threading.Event()

    def uniform(least, most):
        limits.append((least, most))
        if len(limits) == 6:
            enough.set()
        return 0.0

    monkeypatch.setattr("random.uniform", uniform)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        client = Client(f"ws://127.0.0.1:{free.getsockname()[1]}/", reconnect=(0.5, 4))
        with pytest.raises(Disconnected, match=r"not connected within 0\.1 s"):
            client.connect(0.1)
        assert enough.wait(DEADLINE)
        client.close()
    assert limits[:6] == [(0, 0.5), (0, 1), (0, 2), (0, 4), (0, 4), (0, 4)]


@pytest.mark.parametrize(("stable_after", "expected"), [(1e9, [1, 2, 4]), (0, [1, 1, 1])])
def test_a_connection_that_lasts_resets_the_delay(monkeypatch, stable_after, expected):
    limits = []
    monkeypatch.setattr(connector, "STABLE_AFTER", stable_after)
    monkeypatch.setattr("random.uniform", lambda least, most: limits.append(most) or 0.0)
    with ScriptedServer(*[lambda line: line.accept()] * 4) as server:
        client = Client(server.url, reconnect=(1, 30))
        client.connect(DEADLINE)
        server.stop()
        client.close()
    assert limits[:3] == expected


def test_a_listener_may_log_in_again_when_the_login_has_expired(server, proxy, alice):
    jar = http.cookiejar.CookieJar()
    client = Client(f"{proxy.url}/protoo", cookies=jar, reconnect=(0.01, 0.1))
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    is_back = threading.Event()

    @client.on("refused")
    def log_in_again(refused):
        opener.open(f"http://127.0.0.1:{server.port}/login/{alice}").close()
        client.connect(DEADLINE)
        is_back.set()

    with pytest.raises(Refused):
        client.connect(DEADLINE)
    assert is_back.wait(DEADLINE)
    is_back.clear()
    jar.clear()
    proxy.reset()
    assert is_back.wait(DEADLINE)
    assert client.request("get", "/echo").status == 200


def test_connect_tries_at_once_while_it_waits(make_client, proxy, monkeypatch):
    monkeypatch.setattr("random.uniform", lambda least, most: most)
    client = make_client(port=proxy.port, reconnect=(1000, 1000))
    events = Events(client, "close")
    client.connect(DEADLINE)
    proxy.reset()
    assert events.next("close").delay == 1000
    client.connect(DEADLINE)
    assert client.request("get", "/echo").status == 200


def test_connecting_for_too_long_tells_why_the_last_attempt_failed(make_client, proxy):
    proxy.cut()
    client = make_client(port=proxy.port)
    events = Events(client, "close")
    join = in_thread(lambda: client.connect(float("inf")))
    events.next("close")
    with pytest.raises(Disconnected, match=r"not connected within 0.* s: cannot connect: .*efused"):
        client.connect(0)
    proxy.restore()
    assert join() is client


class LockedJar(http.cookiejar.CookieJar):
    """A jar in a database, say, that cannot be read just now."""

    is_locked = True

    def add_cookie_header(self, request):
        if self.is_locked:
            raise RuntimeError("database is locked")


def test_an_error_of_the_cookie_jar_is_a_failed_attempt(make_client, caplog):
    jar = LockedJar()
    with pytest.raises(Disconnected, match="cannot connect: database is locked"):
        make_client(cookies=jar, reconnect=None).connect(DEADLINE)
    assert "RuntimeError: database is locked" in caplog.text
    client = make_client(cookies=jar)
    events = Events(client, "close")
    join = in_thread(lambda: client.connect(DEADLINE))
    assert events.next("close").will_reconnect
    jar.is_locked = False
    join()
    assert client.request("get", "/echo").status == 200


def test_an_error_of_our_own_does_not_end_the_client(make_client, monkeypatch, caplog):
    client = make_client().connect(DEADLINE)
    events = Events(client, "close")
    with monkeypatch.context() as patch:
        patch.setattr(incoming, "parse_from_server", None)  # cannot be called
        response = client.request("get", "/echo")
        assert (response.status, response.is_local) == (410, True)
        assert "not callable" in response.reason
        assert events.next("close").will_reconnect
    client.connect(DEADLINE)
    assert client.request("get", "/echo").status == 200
    assert "error in the thread that connects" in caplog.text


def test_descriptors_above_1023_work(make_client, server):
    """A load script has as many, and ``select.select()`` takes none of them."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2000:
        pytest.skip("too few descriptors are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2000), hard))
    with contextlib.ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        number = os.open(os.devnull, os.O_RDONLY)
        while number <= 1023:
            stack.callback(os.close, number)
            number = os.dup(number)
        stack.callback(os.close, number)
        client = make_client().connect(DEADLINE)
        assert client.request("get", "/echo").status == 200
        client.close()


def test_without_reconnection_the_first_failure_is_raised():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        client = Client(f"ws://127.0.0.1:{free.getsockname()[1]}/", reconnect=None)
        with pytest.raises(Disconnected, match=r"cannot connect: .*refused"):
            client.connect()
    with pytest.raises(Disconnected, match="cannot connect"):
        Client("ws://nobody.invalid/", reconnect=None).connect()


@pytest.mark.parametrize(("kill", "code"), [(False, 1001), (True, 1006)])
def test_a_client_is_back_after_a_restart_of_the_server(make_client, kill, code):
    command = ["-m", "tests.client.site", "0"]
    server = start("site of clients", command)
    # The port of a server that has gone may be taken by anybody; that of a proxy may not.
    proxy = Proxy(server.port)
    client = make_client(port=proxy.port)
    events = Events(client, "open", "close")
    try:
        client.connect(DEADLINE)
        events.next("open")
        if kill:
            server.process.kill()
        server.stop()
        assert events.next("close").code == code
        waiting = client.send("get", "/echo", {"n": 1}, timeout=float("inf"))
        server = start("site of clients", command)
        proxy.move(server.port)
        assert waiting.wait(DEADLINE).data == {"n": 1}
    finally:
        client.close()
        proxy.close()
        server.stop()


def test_a_network_that_drops_everything_is_noticed(make_client, proxy):
    client = make_client(port=proxy.port, ping_interval=0.1).connect(DEADLINE)
    events = Events(client, "close", "open")
    proxy.silence()
    assert events.next("close").code == 1006
    events.next("open")


# Answers of others


def answer(status, *headers):
    """Return a script that answers a handshake with a status."""

    def script(line):
        line.read_head()
        lines = [f"HTTP/1.1 {status} Answer", "Content-Length: 0", *headers, "", ""]
        line.sock.sendall("\r\n".join(lines).encode())

    return script


@pytest.mark.parametrize("status", [403, 404])
def test_a_proxy_may_refuse_while_the_server_restarts(monkeypatch, status):
    monkeypatch.setattr("random.uniform", lambda least, most: 0.0)
    opened = queue.Queue()
    scripts = [
        Line.accept,
        answer(status),
        Line.accept,
        answer(status, "Protoo-Handshake: refused"),
    ]
    with ScriptedServer(*scripts) as server:
        client = Client(server.url)
        client.on("open", lambda: opened.put("open"))
        client.on("refused", lambda refused: opened.put((refused.status, refused.verdict)))
        client.connect(DEADLINE)
        found = [opened.get(timeout=DEADLINE) for _ in range(3)]
        assert found == ["open", "open", (status, "refused")]
        assert client.state == "closed"


@pytest.mark.parametrize(
    ("status", "verdict", "is_final"),
    [
        *((status, "", True) for status in (302, 403, 404)),
        *((status, "", False) for status in (408, 426, 429, 500, 503)),
        *((status, "refused", True) for status in (200, 302, 403)),
        *((status, "later", False) for status in (403, 404, 503)),
    ],
)
def test_the_verdict_of_an_answer_counts_more_than_its_status(status, verdict, is_final):
    assert Refused(status, "reason", 0, verdict).is_final is is_final


# Servers that vanish, and that do not read


def test_a_server_that_has_vanished_is_noticed():
    def script(line):
        line.accept()
        opcode, _ = line.read_frame()
        end = line.read_frame()[0]  # without a pong
        return opcode, end

    with ScriptedServer(script) as server:
        client = Client(server.url, reconnect=None, ping_interval=0.1)
        events = Events(client, "close")
        client.connect(DEADLINE)
        assert events.next("close").code == 1006
        assert server.stop() == [(0x9, -1)]


def test_a_server_that_answers_pings_is_kept(monkeypatch):
    def script(line):
        line.accept()
        for _ in range(3):
            opcode, payload = line.read_frame()
            assert opcode == 0x9
            line.sock.sendall(frame(0xA, payload))
        line.close(1000)
        return line.read_frame()[0]

    wait_until_ready, read = pipe.wait_until_ready, pipe.Pipe._read
    silences = ["after opening", "after a pong", "after another"]
    is_due = False

    def read_after_a_silence(self):
        nonlocal is_due
        is_due = True
        return read(self)

    def wait(socks, seconds, *, for_writing):
        """Let the time pass at once, but stand still after a ping."""
        nonlocal is_due
        if seconds == 1000 and is_due and silences:
            silences.pop()
            is_due = False
            return []
        return wait_until_ready(socks, DEADLINE, for_writing=for_writing)

    monkeypatch.setattr(pipe.Pipe, "_read", read_after_a_silence)
    monkeypatch.setattr(pipe, "wait_until_ready", wait)
    with ScriptedServer(script) as server:
        client = Client(server.url, ping_interval=1000)
        client.connect(DEADLINE)
        assert server.stop() == [0x8]
        client.close()


def test_a_sender_waits_for_a_server_that_does_not_read_and_still_gets_answers(monkeypatch):
    may_read = threading.Event()

    def script(line):
        line.accept()
        line.read_text()
        waits.wait(DEADLINE)
        line.send('{"method": "news"}')
        may_read.wait(DEADLINE)
        while line.read_frame()[0] == 0x1:
            pass

    waits = threading.Event()
    wait_for_room = pipe.Pipe.wait_for_room

    def tell(self):
        if self._size > pipe.HIGH_WATER:
            waits.set()
        wait_for_room(self)

    monkeypatch.setattr(pipe.Pipe, "wait_for_room", tell)
    with ScriptedServer(script) as server:
        client = Client(server.url, reconnect=None)
        events = Events(client, "notification")
        client.connect(DEADLINE)
        count = []

        def send():
            for _ in range(300):
                client.notify("data", "/x", {"text": "x" * 60_000})
                count.append(1)

        join = in_thread(send)
        assert events.next("notification").method == "news"
        assert len(count) < 300
        may_read.set()
        join()
        client.close()


def test_closing_does_not_wait_for_a_server_that_has_vanished(monkeypatch):
    monkeypatch.setattr("protoo_flask.client.websocket.CLOSE_TIMEOUT", 0.1)
    monkeypatch.setattr("protoo_flask.client.connector.CLOSE_TIMEOUT", 0.1)
    monkeypatch.setattr("protoo_flask.client.pipe.CLOSE_TIMEOUT", 0.1)
    may_end = threading.Event()

    def script(line):
        line.accept()
        may_end.wait(DEADLINE)

    with ScriptedServer(script) as server:
        client = Client(server.url)
        client.connect(DEADLINE)
        client.close()
        assert client.state == "closed"
        may_end.set()


# IPv6


def test_a_literal_address_of_ipv6_works():
    try:
        server = ScriptedServer(lambda line: line.accept().read_frame() and line.head, host="::1")
    except OSError:
        pytest.skip("no IPv6 here")
    with server:
        Client(server.url).connect(DEADLINE).close()
        assert f"host: [::1]:{server.port}".encode() in server.stop()[0].lower()


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def tls_server(certificate):
    server = start("site with TLS", ["-m", "tests.client.site", "0", str(certificate)])
    yield server
    server.stop()


def test_tls_with_an_authority_of_ones_own(tls_server, certificate):
    context = ssl.create_default_context(cafile=str(certificate / "ca.pem"))
    url = f"wss://127.0.0.1:{tls_server.port}/protoo?user=alice"
    text = "x" * 60_000
    with Client(url, ssl_context=context) as client:
        joins = [
            in_thread(lambda: [client.request("get", "/echo", {"t": text}) for _ in range(10)])
            for _ in range(8)
        ]
        for join in joins:
            assert [response.data["t"] == text for response in join()] == [True] * 10


def test_tls_of_an_unknown_authority_is_a_failed_attempt(tls_server):
    client = Client(f"wss://127.0.0.1:{tls_server.port}/protoo?user=alice", reconnect=None)
    with pytest.raises(Disconnected, match=r"(?i)certificate.verify.failed"):
        client.connect(DEADLINE)


# gevent

GREENLETS = """
from gevent import monkey; monkey.patch_all()
import sys, time, threading
import gevent
from protoo_flask.client import Client

client = Client(sys.argv[1], repeat=True, reconnect=(0.01, 0.1))
client.on("request", lambda req: req.reply(200, "", req.data))
client.connect(10)
ticks = []
def tick():
    while True:
        ticks.append(1)
        gevent.sleep(0.001)
ticker = gevent.spawn(tick)
assert client.request("get", "/ask", {"n": 1}).data == {"n": 1}
text = "x" * 30_000
def ask(thread):
    for number in range(10):
        data = client.request("get", "/echo", {"text": text, "n": [thread, number]}).data
        assert data == {"text": text, "n": [thread, number]}
jobs = [gevent.spawn(ask, thread) for thread in range(8)]
gevent.joinall(jobs, raise_error=True)
assert client.request("get", "/hold", {"name": "x"}, timeout=0.1).status == 408
assert len(ticks) > 5, len(ticks)
ticker.kill()
client.close()
gevent.sleep(0)
print([thread.name for thread in threading.enumerate() if thread.name.startswith("protoo-client")])
"""


def test_greenlets_share_a_client(server, alice):
    url = f"ws://127.0.0.1:{server.port}/protoo?user={alice}"
    done = subprocess.run(
        [sys.executable, "-c", GREENLETS, url], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr
