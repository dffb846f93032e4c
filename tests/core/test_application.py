"""The application: it connects and disconnects peers, and closes every link."""

from __future__ import annotations

import pytest

from protoo_flask.core.errors import NotAdmitted, UsageError
from protoo_flask.core.inbox import Inbox, SharedInbox
from protoo_flask.core.observer import Observer
from protoo_flask.core.peers.directory import Identity
from protoo_flask.core.request import Request
from protoo_flask.core.transactions.outbound import Outbound, SharedOutbound
from protoo_flask.core.transactions.server import ServerTransactions, SharedServerTransactions
from tests.fakes import Core, FakeLink


@pytest.mark.parametrize(
    ("uuid", "gone"), [(None, ["a1", "a2"]), ("a2", ["a2"]), ("a3", [])], ids=repr
)
def test_disconnect_closes_the_devices_of_a_user_and_says_how_many(uuid, gone):
    core = Core()
    clients = [core.connect("alice", "a1"), core.connect("alice", "a2"), core.connect("bob", "a1")]
    assert core.application.disconnect("alice", uuid, 3001, "banned") == len(gone)
    closed = [client for client in clients if client.link.closed]
    assert [client.peer.uuid for client in closed] == gone
    assert all(client.link.closed == (3001, "banned") for client in closed)
    assert all(not client.peer.online for client in closed)


def test_disconnecting_a_user_without_devices_is_no_error():
    assert Core().application.disconnect("nobody", None, 3001, "banned") == 0


def test_disconnecting_nobody_in_particular_does_not_disconnect_everybody():
    core = Core()
    alice = core.connect()
    with pytest.raises(UsageError, match="takes a string, not None"):
        core.application.disconnect(None, None, 3001, "logged out")
    assert alice.peer.online


def test_a_handler_may_disconnect_its_own_peer():
    core = Core()

    @core.router.get("/")
    def disconnect(req, next):
        core.application.disconnect(req.peer.username, None, 3001, "bye")
        req.reply(200)

    alice = core.connect()
    alice.start_request("get", "/")
    assert alice.link.closed == (3001, "bye")
    assert alice.take_all() == core.framework.errors == []


def test_close_closes_every_link_with_1001():
    core = Core()
    clients = [core.connect("alice", "a1"), core.connect("bob", "b1")]
    told = []
    clients[0].peer.send(Request("get"), told.append)
    core.application.close()
    assert [client.link.closed for client in clients] == [(1001, "shutting down")] * 2
    assert core.application.directory.find() == []
    assert [response.status for response in told] == [410]
    assert core.scheduler.pending_timers == 0


# Handshakes in progress


@pytest.mark.parametrize(
    ("what", "fate"),
    [
        (lambda core: core.application.disconnect("alice", None, 3001, "banned"), (3001, "banned")),
        (lambda core: core.application.disconnect("alice", "a1", 4000, "bye"), (4000, "bye")),
        (lambda core: core.application.close(), (1001, "shutting down")),
        (lambda core: core.connect("alice", "a1"), (3000, "online elsewhere")),
        (lambda core: core.connect("alice", "a1").peer.close(3001, "no"), (3001, "no")),
    ],
    ids=["disconnect", "disconnect a device", "close", "a later handshake", "close a peer"],
)
def test_a_handshake_does_not_outlive_the_end_of_its_user_or_device(what, fate):
    core = Core()
    arrival = core.application.runtime.arrivals.begin()
    what(core)
    core.framework.told.clear()
    link = FakeLink()
    with pytest.raises(NotAdmitted) as caught:
        connect(core, link, arrival=arrival)
    assert (caught.value.code, caught.value.reason) == fate
    assert core.framework.told == link.payloads == []
    assert connect(core, FakeLink()).peer.online


def connect(core, link, **options):
    core.router.freeze(core.routing_options)
    return core.application.connect(Identity("alice", "a1"), link, None, **options)


# The welcome


def test_a_client_that_asks_is_welcomed_on_each_link_before_all_other_messages():
    core = Core(grace_period=10)
    first, second = FakeLink(), FakeLink()
    welcome = {"method": "welcome", "data": {"username": "alice", "uuid": "a1"}}
    inbox = connect(core, first, welcome=True)
    assert first.take_all() == [welcome]
    inbox.peer.send(Request("question"))
    inbox.peer.notify("news")
    order = []
    connect(core, second, when_reachable=lambda: order.extend(second.payloads), welcome=True)
    assert order == []  # nothing is sent before the answer to the handshake
    assert [message["method"] for message in second.take_all()] == ["welcome", "question"]
    assert len(inbox.peer.outbound) == 1
    third = FakeLink()
    connect(core, third)
    assert [message["method"] for message in third.take_all()] == ["question"]


def test_the_observer_is_told_of_the_welcome():
    class Sizes(Observer):
        def __init__(self):
            self.sizes = []

        def sent(self, peer, size):
            self.sizes.append((peer.uuid, size))

    observer = Sizes()
    link = FakeLink()
    connect(Core(observer=observer), link, welcome=True)
    assert observer.sizes == [("a1", len(link.payloads[0]))]


# Among greenlets and among threads


@pytest.mark.parametrize(
    ("preempts", "kinds"),
    [
        (True, [SharedInbox, SharedOutbound, SharedServerTransactions]),
        (False, [Inbox, Outbound, ServerTransactions]),
    ],
    ids=["threads", "greenlets"],
)
def test_only_among_threads_have_the_parts_of_a_peer_locks(preempts, kinds):
    core = Core()
    core.scheduler.preempts = preempts
    core.router.get("/", lambda req, next: req.reply(200))
    alice = core.connect()
    assert [type(part) for part in (alice.inbox, alice.peer.outbound, alice.peer.requests)] == kinds
    assert alice.request("get", "/")["status"] == 200
    transaction = alice.peer.send(Request("get"))
    alice.respond(alice.take(), 200)
    assert transaction.response.status == 200
