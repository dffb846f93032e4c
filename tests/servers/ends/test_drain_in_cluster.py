"""A worker of a cluster that ends: everything that it holds moves to the others."""

from __future__ import annotations

import contextlib
import signal

import pytest

from tests.cluster.redis_servers import RedisServer

from ..clients import Site
from ..draining_site import CLUSTER_URL, SETTINGS
from ..processes import DEADLINE, start
from .test_drain import DRAINING, SHUTTING_DOWN, connect


@pytest.fixture
def servers(tmp_path):
    with contextlib.ExitStack() as stack:
        redis = RedisServer(tmp_path)
        stack.callback(redis.stop)
        env = {
            SETTINGS: "DISCONNECT_GRACE_PERIOD=30 DRAIN_TIMEOUT=20",
            CLUSTER_URL: redis.url,
            "PYTHONWARNINGS": "ignore",
        }
        servers = []
        for _ in range(2):
            servers.append(start("draining", DRAINING["gunicorn"], **env))
            stack.callback(servers[-1].stop)
        yield servers
    for server in servers:
        assert server.complaints() == [], server.output()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_calls_rooms_and_mailboxes_move_and_nobody_is_offline(number, servers):
    one, other = (Site(server.port) for server in servers)
    with contextlib.ExitStack() as stack:

        def come(site, username):
            return stack.enter_context(connect(site, username))

        carol = come(other, "carol")
        alice, bob = come(one, "alice"), come(one, "bob")
        # A call and a room, which are at home at the other server; an unanswered request.
        path = call(carol, alice, "alice")
        for client in (carol, alice):
            client.start("session", "/chat/rooms/den")
            assert client.receive()["status"] == 200
        assert carol.expect("join")["data"]["peer"]["username"] == "alice"
        waiting = carol.start("message", "/users/bob", {"text": "are you there?"})
        question = bob.expect("message")

        servers[0].process.send_signal(number)
        # All of it moves, so there is nothing to wait for.
        assert alice.wait_for_close() == SHUTTING_DOWN
        assert bob.wait_for_close() == SHUTTING_DOWN
        # To a peer that is on its way.
        missed = carol.start("message", "/users/alice", {"text": "welcome back"})

        alice, bob = come(other, "alice"), come(other, "bob")
        welcome = alice.expect("message")
        assert welcome["data"] == {"text": "welcome back"}
        alice.respond(welcome, 200)
        assert bob.receive() == question
        bob.respond(question, 200)
        answers = [carol.receive(), carol.receive()]
        assert {answer["id"]: answer["status"] for answer in answers} == {
            waiting: 200,
            missed: 200,
        }
        # The call and the room go on.
        alice.start("icecandidate", path, {"candidate": "..."})
        carol.respond(carol.expect("icecandidate"), 200)
        assert alice.receive()["status"] == 200
        alice.start("message", "/chat/rooms/den", {"text": "hi all"})
        assert carol.expect("message")["data"]["text"] == "hi all"
        assert alice.receive()["status"] == 200
    for server in servers:
        server.interrupt()
    for server in servers:
        assert server.process.wait(DEADLINE) == 0
    # They leave for good at the end, after all of this.
    told = "".join(server.output() for server in servers)
    for name in ("alice", "bob"):
        assert told.count(f"online {name}\n") == 1
        assert told.count(f"disconnect {name}\n") == told.count(f"reconnect {name}\n") == 1


def call(caller, callee, username):
    """Call somebody, who answers; returns the path of the call."""
    caller.start("session", f"/users/{username}", {"sdp": "..."})
    callee.respond(callee.expect("session"), 200, sdp="...")
    path = caller.receive()["data"]["sessionPath"]
    assert caller.receive()["status"] == 200
    return path


def test_a_call_at_home_at_the_worker_goes_on_until_it_ends(servers):
    one, other = (Site(server.port) for server in servers)
    with contextlib.ExitStack() as stack:

        def come(site, username):
            return stack.enter_context(connect(site, username))

        come(other, "carol")
        alice, bob = come(one, "alice"), come(one, "bob")
        path = call(alice, bob, "bob")
        servers[0].interrupt()
        for client in (alice, bob):
            assert client.wait_for_close() == SHUTTING_DOWN
        alice, bob = come(other, "alice"), come(other, "bob")
        alice.start("icecandidate", path, {"candidate": "..."})
        bob.respond(bob.expect("icecandidate"), 200)
        assert alice.receive()["status"] == 200
        assert servers[0].process.poll() is None
        alice.start("end", path)
        bob.respond(bob.expect("end"), 200)
        assert alice.receive()["status"] == 200
        assert servers[0].process.wait(DEADLINE) == 0


def test_a_handler_of_a_peer_that_moves_finishes_first(servers):
    one, other = (Site(server.port) for server in servers)
    with connect(other, "carol"), connect(one, "alice") as alice, connect(one, "bob") as bob:
        alice.start("get", "/slow", {"seconds": 3})
        servers[0].wait_for_output("slow 3 begins")
        servers[0].interrupt()
        assert bob.wait_for_close() == SHUTTING_DOWN
        assert not servers[0].has_printed("slow 3 ends")
        assert alice.receive()["status"] == 200
        assert alice.wait_for_close() == SHUTTING_DOWN
