"""A server that ends lets its clients go in good order."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import threading
from typing import Any

import pytest

from ..clients import CLOSE, RawClient, Site, eventually
from ..draining_site import SETTINGS
from ..processes import DEADLINE, KINDS, SITES, start

APP = "tests.servers.draining_site:create_app"

GUNICORN = ["-m", "gunicorn", "-k", "gevent", "--bind", "127.0.0.1:0"]

#: Servers that drain by themselves at SIGTERM: {name: arguments}.
DRAINING = {
    "gunicorn": [*GUNICORN, APP + "()"],
    "gunicorn with pywsgi": [
        *["-m", "gunicorn", "-k", "gevent_pywsgi", "--bind", "127.0.0.1:0", APP + "()"]
    ],
    "standalone": ["-m", "protoo_flask", APP, "--port", "0"],
    "pywsgi in a script": ["-m", "tests.servers.draining_site"],
}


@pytest.fixture
def start_site():
    """Return a function that starts a server of the site."""
    with contextlib.ExitStack() as stack:
        servers = []

        def start_site(command, **settings):
            text = " ".join(f"{name}={value}" for name, value in settings.items())
            env = {"FLASK_APP": APP, "PYTHONWARNINGS": "ignore", SETTINGS: text}
            server = start("draining", command, **env)
            servers.append(server)
            stack.callback(server.stop)
            return server

        yield start_site
    for server in servers:
        assert server.complaints() == [], server.output()


def connect(site, username, query=""):
    return site.connect_with(f"?username={username}{query}")


def pid_of(client):
    return client.request("get", "/pid")["data"]["pid"]


def is_draining(client):
    return client.request("get", "/pid")["data"]["draining"]


SHUTTING_DOWN = (1001, "shutting down")


# The servers


@pytest.mark.parametrize("kind", DRAINING)
def test_a_handler_finishes_when_the_server_is_told_to_end(kind, start_site):
    server = start_site(DRAINING[kind])
    site = Site(server.port)
    with connect(site, "alice") as alice, connect(site, "bob") as bob:
        id = alice.start("get", "/slow", {"seconds": 2.5})
        server.wait_for_output("slow 2.5 begins")
        server.interrupt()
        # Others are served meanwhile: nobody else could serve them.
        eventually(lambda: is_draining(bob), True)
        assert not server.has_printed("slow 2.5 ends")
        answer = alice.receive()
        assert (answer["id"], answer["status"]) == (id, 200)
        assert alice.wait_for_close() == SHUTTING_DOWN
        assert bob.wait_for_close() == SHUTTING_DOWN
    assert server.process.wait(DEADLINE) == 0
    server.wait_for_output("offline alice")
    server.wait_for_output("offline bob")


@pytest.mark.parametrize("kind", DRAINING)
def test_a_handler_of_a_notification_finishes_too(kind, start_site):
    server = start_site(DRAINING[kind])
    with connect(Site(server.port), "alice") as alice:
        alice.notify("message", "/slow", {"seconds": 2})
        server.wait_for_output("slow 2 begins")
        server.interrupt()
        assert alice.wait_for_close() == SHUTTING_DOWN
        assert server.has_printed("slow 2 ends")


@pytest.mark.parametrize("kind", DRAINING)
def test_a_handler_that_never_ends_is_waited_for_until_the_deadline(kind, start_site):
    server = start_site(DRAINING[kind], DRAIN_TIMEOUT=1)
    with connect(Site(server.port), "alice") as alice, connect(Site(server.port), "bob") as bob:
        alice.start("get", "/slow", {"seconds": 1000})
        server.wait_for_output("slow 1000 begins")
        server.interrupt()
        assert alice.wait_for_close() == SHUTTING_DOWN
        assert bob.wait_for_close() == SHUTTING_DOWN
    assert server.process.wait(DEADLINE) == 0


@pytest.mark.parametrize("kind", DRAINING)
@pytest.mark.parametrize("timeout", [0, 7])
def test_a_server_ends_that_nobody_uses(kind, timeout, start_site):
    server = start_site(DRAINING[kind], DRAIN_TIMEOUT=timeout)
    with connect(Site(server.port), "alice") as alice:
        pid_of(alice)
    server.interrupt()
    assert server.process.wait(DEADLINE) == 0


@pytest.mark.parametrize("kind", DRAINING)
def test_without_a_timeout_handlers_are_cut(kind, start_site):
    server = start_site(DRAINING[kind], DRAIN_TIMEOUT=0)
    with connect(Site(server.port), "alice") as alice:
        alice.start("get", "/slow", {"seconds": 1000})
        server.wait_for_output("slow 1000 begins")
        server.interrupt()
        assert alice.wait_for_close() == SHUTTING_DOWN
    assert server.process.wait(DEADLINE) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_a_standalone_server_at_once(number, start_site):
    server = start_site(DRAINING["standalone"], DRAIN_TIMEOUT=1000)
    with connect(Site(server.port), "alice") as alice, connect(Site(server.port), "bob") as bob:
        alice.start("get", "/slow", {"seconds": 1000})
        server.wait_for_output("slow 1000 begins")
        server.interrupt()
        eventually(lambda: is_draining(bob), True)
        server.process.send_signal(number)
        assert alice.wait_for_close() == SHUTTING_DOWN
        assert bob.wait_for_close() == SHUTTING_DOWN
    assert server.process.wait(DEADLINE) == 0


def test_an_interrupt_ends_a_standalone_server_at_once(start_site):
    server = start_site(DRAINING["standalone"], DRAIN_TIMEOUT=1000)
    with connect(Site(server.port), "alice") as alice:
        alice.start("get", "/slow", {"seconds": 1000})
        server.wait_for_output("slow 1000 begins")
        server.process.send_signal(signal.SIGINT)
        assert alice.wait_for_close() == SHUTTING_DOWN
    assert server.process.wait(DEADLINE) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_gunicorn_ends_at_once_when_it_is_told_so(number, start_site):
    server = start_site([*GUNICORN, APP + "()"], DRAIN_TIMEOUT=25)
    with connect(Site(server.port), "alice") as alice, connect(Site(server.port), "bob") as bob:
        alice.start("get", "/slow", {"seconds": 1000})
        server.wait_for_output("slow 1000 begins")
        server.interrupt()
        eventually(lambda: is_draining(bob), True)
        server.process.send_signal(number)
        assert alice.wait_for_close() == SHUTTING_DOWN
    assert server.process.wait(DEADLINE) == 0


# gunicorn: the successor


def test_a_new_worker_serves_while_the_old_one_drains(start_site):
    server = start_site([*GUNICORN, APP + "()"])
    site = Site(server.port)
    with connect(site, "alice") as alice, connect(site, "bob") as bob:
        old = pid_of(alice)
        alice.start("get", "/slow", {"seconds": 4})
        server.wait_for_output("slow 4 begins")
        server.process.send_signal(signal.SIGHUP)
        # The old worker is repeatedly sent SIGTERM meanwhile by some gunicorns.
        assert bob.wait_for_close() == SHUTTING_DOWN
        with connect(site, "bob") as bob_again:
            assert pid_of(bob_again) != old
            assert not server.has_printed("slow 4 ends")
            assert alice.receive()["data"] == {"pid": old}
            assert alice.wait_for_close() == SHUTTING_DOWN


def test_the_only_worker_serves_pages_until_it_has_drained(start_site):
    """gunicorn starts another one only when this one has exited."""
    server = start_site([*GUNICORN, "--max-requests", "4", APP + "()"])
    site = Site(server.port)
    with connect(site, "alice") as alice, connect(site, "bob") as bob:
        old = pid_of(alice)
        alice.start("get", "/slow", {"seconds": 4})
        server.wait_for_output("slow 4 begins")
        for _ in range(2):
            assert site.get("/page") == f"{old} False"
        eventually(lambda: site.get("/page"), f"{old} True")
        refusal = site.knock("?username=carol")
        assert (refusal.status, refusal.text) == (503, "shutting down")
        assert refusal.headers["Retry-After"] == "1"
        assert refusal.headers["Protoo-Handshake"] == "later"
        assert not server.has_printed("slow 4 ends")
        assert alice.receive()["status"] == 200
        assert alice.wait_for_close() == SHUTTING_DOWN
        assert bob.wait_for_close() == SHUTTING_DOWN
    eventually(lambda: site.get("/page") != f"{old} True", True)


def test_a_timeout_that_gunicorn_does_not_allow_is_warned_of(start_site):
    server = start_site([*GUNICORN, "--graceful-timeout", "4", APP + "()"], DRAIN_TIMEOUT=20)
    with connect(Site(server.port), "alice") as alice, connect(Site(server.port), "bob") as bob:
        alice.start("get", "/slow", {"seconds": 1000})
        server.wait_for_output("set graceful_timeout to 23 or more")
        server.wait_for_output("slow 1000 begins")
        server.interrupt()
        # In good order, and not because gunicorn has killed the worker.
        assert alice.wait_for_close() == SHUTTING_DOWN
        assert bob.wait_for_close() == SHUTTING_DOWN
    assert server.process.wait(DEADLINE) == 0
    assert not server.has_printed("graceful timeout|SIGKILL")


def test_the_default_is_shortened_without_a_word(start_site):
    server = start_site([*GUNICORN, "--graceful-timeout", "4", APP + "()"])
    with connect(Site(server.port), "alice") as alice:
        alice.start("get", "/slow", {"seconds": 1000})
        server.wait_for_output("slow 1000 begins")
        server.interrupt()
        assert alice.wait_for_close() == SHUTTING_DOWN
    assert server.process.wait(DEADLINE) == 0
    assert not server.has_printed("graceful timeout|graceful_timeout|SIGKILL")


# What is in progress


def test_requests_in_both_directions_are_waited_for(start_site):
    server = start_site(DRAINING["gunicorn"])
    site = Site(server.port)
    with connect(site, "alice") as alice, connect(site, "bob") as bob, connect(site, "eve") as eve:
        alice.start("message", "/users/bob", {"text": "hi"})
        question = bob.expect("message")
        server.interrupt()
        eventually(lambda: is_draining(eve), True)
        bob.respond(question, 200)
        assert alice.receive()["status"] == 200
        for client in (alice, bob, eve):
            assert client.wait_for_close() == SHUTTING_DOWN


def test_a_call_has_until_the_deadline(start_site):
    server = start_site(DRAINING["gunicorn"], DRAIN_TIMEOUT=3)
    site = Site(server.port)
    with connect(site, "alice") as alice, connect(site, "bob") as bob, connect(site, "eve") as eve:
        alice.start("session", "/users/bob", {"sdp": "..."})
        offer = bob.expect("session")
        bob.respond(offer, 200, sdp="...")
        ringing, answer = alice.receive(), alice.receive()
        assert (ringing["status"], answer["status"]) == (100, 200)
        path = ringing["data"]["sessionPath"]
        server.process.send_signal(signal.SIGHUP)
        assert eve.wait_for_close() == SHUTTING_DOWN  # somebody without a call goes first
        alice.start("icecandidate", path, {"candidate": "..."})
        bob.respond(bob.expect("icecandidate"), 200)
        assert alice.receive()["status"] == 200
        assert alice.wait_for_close() == SHUTTING_DOWN
        assert bob.wait_for_close() == SHUTTING_DOWN


def test_a_call_that_ends_is_not_waited_for_any_longer(start_site):
    server = start_site(DRAINING["gunicorn"], DRAIN_TIMEOUT=25)
    site = Site(server.port)
    with connect(site, "alice") as alice, connect(site, "bob") as bob, connect(site, "eve") as eve:
        alice.start("session", "/users/bob", {"sdp": "..."})
        bob.respond(bob.expect("session"), 200, sdp="...")
        path = alice.receive()["data"]["sessionPath"]
        assert alice.receive()["status"] == 200
        server.process.send_signal(signal.SIGHUP)
        assert eve.wait_for_close() == SHUTTING_DOWN
        alice.start("end", path)
        bob.respond(bob.expect("end"), 200)
        assert alice.receive()["status"] == 200
        assert bob.wait_for_close() == SHUTTING_DOWN
        assert alice.wait_for_close() == SHUTTING_DOWN
        # The server still lives: only its old worker has ended.
        assert site.get("/page").endswith("False")


def test_a_slow_reader_gets_everything_and_then_the_close(start_site):
    server = start_site(DRAINING["gunicorn"], MAX_OUTBOX=8_000_000)
    site = Site(server.port)
    with raw_client(site, "alice", 4096) as alice, connect(site, "bob") as bob:
        alice.send_request("get", "/flood", 1)
        server.interrupt()
        eventually(lambda: is_draining(bob), True)
        count = 0
        while True:
            opcode, payload = alice.read_frame()
            if opcode == CLOSE:
                break
            count += b"flood" in payload
        assert count > 1
        assert payload[2:].decode() == "shutting down"
        assert bob.wait_for_close() == SHUTTING_DOWN


def raw_client(site, username, receive_buffer=0):
    sock = socket.socket()
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(DEADLINE)
    sock.connect(("127.0.0.1", site.port))
    return RawClient(sock, f"/protoo?username={username}", Host=site.host)


def test_a_handshake_in_progress_is_refused_for_now(start_site):
    server = start_site(DRAINING["gunicorn"])
    site = Site(server.port)
    refusals: list[Any] = []
    knock = threading.Thread(
        target=lambda: refusals.append(site.knock("?username=alice&slow=3")), daemon=True
    )
    with connect(site, "bob") as bob:
        knock.start()
        server.wait_for_output("authorizing alice")
        server.interrupt()
        assert bob.wait_for_close() == SHUTTING_DOWN
    knock.join(DEADLINE)
    (refusal,) = refusals
    assert (refusal.status, refusal.headers["Retry-After"]) == (503, "1")
    assert server.process.wait(DEADLINE) == 0
    assert not server.has_printed("online alice")


# Many


def connect_many(site, stack, count):
    return [stack.enter_context(raw_client(site, f"user{number}")) for number in range(count)]


def test_a_thousand_clients_are_told_moments_of_their_own(start_site):
    server = start_site(DRAINING["gunicorn"])
    with contextlib.ExitStack() as stack:
        clients = connect_many(Site(server.port), stack, 1000)
        server.interrupt()
        closes = [client.read_close() for client in clients]
    assert {code for code, _ in closes} == {1001}
    hints = sorted(
        float(found.group(1))
        for found in (re.fullmatch(r"shutting down; retry-after=(\d+\.\d\d)", r) for _, r in closes)
        if found is not None
    )
    # 1250 in a second. Those of the first half second need no hint, as all clients wait a little.
    assert 200 <= len(hints) <= 400
    assert hints[0] == pytest.approx(0.5, abs=0.02)
    assert hints[-1] == pytest.approx(0.7, abs=0.2)
    assert max(after - before for before, after in zip(hints, hints[1:])) < 0.2
    assert all(reason == "shutting down" for _, reason in closes if "=" not in reason)
    assert server.process.wait(DEADLINE) == 0


def test_a_server_with_a_successor_spreads_the_closes_itself(start_site):
    server = start_site(DRAINING["gunicorn"])
    with contextlib.ExitStack() as stack:
        site = Site(server.port)
        clients = connect_many(site, stack, 1000)
        server.process.send_signal(signal.SIGHUP)
        assert clients[0].read_close() == SHUTTING_DOWN
        # The last one is still served, and knows nothing yet.
        clients[-1].send_request("get", "/pid", 1)
        assert clients[-1].read_message()["data"]["draining"]
        closes = {client.read_close() for client in clients[1:]}
    assert closes == {SHUTTING_DOWN}


# protoo.drain()


def test_a_handler_may_begin_the_drain(start_site):
    server = start_site(DRAINING["gunicorn"])
    site = Site(server.port)
    with connect(site, "alice") as alice, connect(site, "bob") as bob:
        assert alice.request("get", "/drain")["data"] == {"same": True, "over": False}
        assert alice.wait_for_close() == SHUTTING_DOWN
        assert bob.wait_for_close() == SHUTTING_DOWN
        assert site.knock("?username=carol").status == 503
        assert site.http("GET", "/protoo?username=carol").status == 503
        assert site.get("/page").endswith("True")


@pytest.mark.parametrize("kind", ["gunicorn", "pywsgi", "flask-run"])
def test_a_view_may_begin_the_drain_and_wait(kind, start_site):
    command, _ = KINDS[kind]
    server = start_site([part.replace(SITES, APP) for part in command])
    site = Site(server.port)
    with connect(site, "alice") as alice, connect(site, "bob") as bob:
        alice.start("get", "/slow", {"seconds": 1})
        server.wait_for_output("slow 1 begins")
        assert site.post("/drain") == "True"
        assert alice.receive()["status"] == 200
        assert alice.wait_for_close() == SHUTTING_DOWN
        assert bob.wait_for_close() == SHUTTING_DOWN
    assert site.post("/drain") == "True"  # it is over, and stays so
    assert site.knock("?username=carol").status == 503


@pytest.mark.parametrize("kind", ["gunicorn", "pywsgi", "flask-run"])
def test_without_peers_the_drain_is_over_at_once(kind, start_site):
    command, _ = KINDS[kind]
    server = start_site([part.replace(SITES, APP) for part in command])
    site = Site(server.port)
    assert site.post("/drain?timeout=1000") == "True"
    assert site.knock("?username=carol").status == 503


def test_a_shorter_timeout_hurries_the_drain(start_site):
    server = start_site(DRAINING["gunicorn"])
    site = Site(server.port)
    with connect(site, "alice") as alice:
        alice.start("get", "/slow", {"seconds": 1000})
        server.wait_for_output("slow 1000 begins")
        waiting = threading.Thread(target=site.post, args=["/drain?timeout=1000"], daemon=True)
        waiting.start()
        eventually(lambda: site.get("/page").endswith("True"), True)
        assert site.post("/drain?timeout=0") == "True"
        waiting.join(DEADLINE)
        assert alice.wait_for_close() == SHUTTING_DOWN


def test_a_thread_may_begin_the_drain_and_wait(start_site):
    server = start_site(DRAINING["gunicorn"])
    with connect(Site(server.port), "alice") as alice:
        assert alice.request("get", "/drain-in-thread")["status"] == 200
        assert alice.wait_for_close() == SHUTTING_DOWN
        server.wait_for_output("over: True")


@pytest.mark.parametrize("kind", ["gunicorn", "pywsgi in a script"])
def test_a_signal_handler_may_begin_the_drain(kind, start_site):
    server = start_site(DRAINING[kind])
    with connect(Site(server.port), "alice") as alice:
        os.kill(pid_of(alice), signal.SIGUSR2)
        server.wait_for_output("asked: True")
        assert alice.wait_for_close() == SHUTTING_DOWN
