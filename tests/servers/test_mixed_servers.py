"""Servers of all kinds, with greenlets and with threads, are one site, over TCP and over TLS."""

from __future__ import annotations

import contextlib

import pytest

from tests.cluster.redis_servers import RedisServer
from tests.cluster.tls import make_certificate, start_tls_server
from tests.faults.field import FieldClient, answers_of, states
from tests.faults.site import PLACE

from .clients import Site, eventually
from .processes import DEADLINE, KINDS, SITES, start
from .shared import SHARED

#: Each kind with the next one.
PAIRS = list(zip(KINDS, [*KINDS][1:] + [*KINDS][:1]))

ROOM = "/chat/rooms/42"


class Mixed:
    """One server of each kind, which are one site.

    :ivar servers: ``{kind: server}``
    """

    def __init__(self, url, folder):
        self.servers = {}
        self._env = {
            "FLASK_APP": PLACE,
            "SITE_PROTOO_CLUSTER_URL": url,
            "SITE_PROTOO_DISCONNECT_GRACE_PERIOD": "60",
            SHARED: str(folder),
        }

    def start(self):
        for kind, (command, stop_signal) in KINDS.items():
            command = [part.replace(SITES, PLACE) for part in command]
            self.servers[kind] = start(kind, command, stop_signal=stop_signal, **self._env)

    def site(self, kind):
        return Site(self.servers[kind].port)

    def connect(self, kind, username, former=None):
        """Connect a device, which may go on from its former connection, as a page does."""
        url = f"ws://127.0.0.1:{self.servers[kind].port}/protoo?username={username}&uuid=1"
        client = FieldClient(url, compression=None)
        if former is not None:
            client._ids = former._ids
        return client

    def stop(self):
        for server in self.servers.values():
            if server.process.poll() is None:
                server.interrupt()
        for server in self.servers.values():
            server.stop()


@pytest.fixture(scope="module", params=["tcp", "tls"])
def mixed(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixed")
    with contextlib.ExitStack() as stack:
        if request.param == "tls":
            redis = start_tls_server(folder, make_certificate(folder))
        else:
            redis = RedisServer(folder)
        stack.callback(redis.stop)
        mixed = Mixed(redis.url, folder)
        stack.callback(mixed.stop)
        mixed.start()
        yield mixed
        for server in mixed.servers.values():
            assert server.complaints() == []


@pytest.mark.parametrize(("here", "there"), PAIRS, ids=map(" and ".join, PAIRS))
def test_users_of_two_kinds_of_servers_talk_call_meet_and_move(mixed, here, there):
    # Users of their own: the tests share the servers.
    a, b = f"alice-{here}", f"bob-{here}"
    with mixed.connect(here, a) as alice:
        assert not alice.request("subscribe", f"/presence/{b}")["data"]["online"]
        with mixed.connect(there, b) as bob:
            assert next(states(alice, b))["online"]
            talk(alice, bob, b)
            talk(bob, alice, a)
            call(alice, bob, b)
            call(bob, alice, a)
            meet(alice, bob, a)
            # Bob moves beside Alice with a message that he has not answered.
            id = alice.start("message", f"/users/{b}", {"text": "wait"})
            request = bob.expect("message")
            with mixed.connect(here, b, bob) as moved:
                assert bob.wait_for_close()[0] == 3000
                assert moved.expect("message") == request
                moved.respond(request, 200)
                assert answers_of(alice, [id]) == {id: 200}
                talk(moved, alice, a)
                alice.nothing_came()
        told = ["online 1", "user_online", "offline 1", "user_offline"]
        eventually(lambda: mixed.site(here).get(f"/journal/{b}"), told)


def talk(sender, receiver, username):
    id = sender.start("message", f"/users/{username}", {"text": "hi"})
    receiver.respond(receiver.expect("message"), 200)
    assert answers_of(sender, [id]) == {id: 200}


def call(caller, callee, username):
    id = caller.start("session", f"/calls/{username}", {"sdp": "offer"})
    request = callee.expect("session")
    callee.respond(request, 200, sdp="answer")
    assert answers_of(caller, [id]) == {id: 200}
    caller.find(lambda message: message.get("status") == 100)
    end = caller.start("end", request["data"]["sessionPath"])
    callee.respond(callee.expect("end"), 200)
    assert answers_of(caller, [end]) == {end: 200}


def meet(first, second, name):
    assert first.request("session", ROOM)["data"]["peers"] == []
    (other,) = second.request("session", ROOM)["data"]["peers"]
    assert other["username"] == name
    assert first.expect("join")
    assert second.request("message", ROOM, {"text": "hi"})["data"] == {"sent": 1}
    assert first.expect("message")["data"]["text"] == "hi"
    assert first.request("end", ROOM)["status"] == 200
    assert second.expect("leave")
    assert second.request("end", ROOM)["status"] == 200


def test_a_device_goes_on_at_another_kind_of_server_when_its_server_ends(mixed):
    """This test is the last one: all servers but one end."""
    *ending, last = mixed.servers
    with mixed.connect(last, "alice") as alice:
        bob = mixed.connect(ending[0], "bob")
        for kind, following in zip(ending, [*ending[1:], last]):
            id = alice.start("message", "/users/bob", {"text": kind})
            request = bob.expect("message")

            mixed.servers[kind].interrupt()

            assert bob.wait_for_close()[0] == 1001
            bob.close()
            bob = mixed.connect(following, "bob", bob)
            assert bob.expect("message") == request
            bob.respond(request, 200)
            assert answers_of(alice, [id]) == {id: 200}
            mixed.servers[kind].process.wait(DEADLINE)
        journal = mixed.site(last).get("/journal/bob")
        assert journal == ["online 1", "user_online"] + ["disconnect 1", "reconnect 1"] * len(
            ending
        )
        bob.close()
    eventually(lambda: mixed.site(last).get("/peers"), [])
