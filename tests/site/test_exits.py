"""``sys.exit()`` in code of a site that is no handler: the server goes on, and the log tells it."""

from __future__ import annotations

import sys

import pytest
from flask import Flask

from protoo_flask import Protoo, signals
from protoo_flask.core.peers.directory import Identity
from protoo_flask.middleware import p2p_messenger, presence, room_handler, session_handler
from tests.fakes import FakeLink, FakeScheduler
from tests.joining import HANDSHAKE, make_app

from .conftest import WAYS


def leave(*args, **kwargs):
    sys.exit("usage")


class Clients:
    """Clients joined to an app in memory, in one of the two kinds of contexts."""

    def __init__(self, app, kind):
        self.app, self.kind = app, kind
        self.scheduler = FakeScheduler()

    def join(self, username="alice", uuid="a1"):
        application = self.app.extensions["protoo"].open(self.scheduler)
        with self.app.test_request_context(f"/protoo?uuid={uuid}") as context:
            kept = self.kind(self.app, context.request, context.session)
        inbox = application.connect(Identity(username, uuid), FakeLink(), kept)
        inbox.open()
        return inbox


def ask(inbox, method="get", path="/", data="{}"):
    inbox.receive(f'{{"method": "{method}", "path": "{path}", "id": 1, "data": {data}}}'.encode())
    return inbox._link.take()["status"]


@pytest.fixture
def app():
    return make_app()


@pytest.fixture(params=WAYS, ids=lambda kind: kind.__name__)
def clients(app, request):
    yield Clients(app, request.param)
    app.extensions["protoo"].close()


def exits(caplog):
    return [
        record
        for record in caplog.records
        if record.exc_info and isinstance(record.exc_info[1], BaseException)
    ]


@pytest.mark.parametrize("event", ["online", "user_online"])
def test_the_exit_of_a_listener_keeps_nobody_out(event, app, clients, caplog):
    protoo = Protoo(app)
    told = []
    protoo.on(event, lambda subject: leave())
    protoo.on(event, told.append)
    protoo.get("/", lambda req, next: req.reply(200))
    alice = clients.join()
    assert len(told) == 1
    assert ask(alice) == 200
    [record] = exits(caplog)
    assert f"{__name__}" in record.message


@pytest.mark.parametrize("event", ["offline", "user_offline"])
def test_the_exit_of_a_listener_keeps_nobody_in(event, app, clients, caplog):
    protoo = Protoo(app)
    told = []
    protoo.on(event, lambda subject: leave())
    protoo.on(event, told.append)
    alice = clients.join()
    alice.closed(1000)
    assert len(told) == 1
    assert app.extensions["protoo"].peers() == []
    assert exits(caplog)


def test_the_exit_of_a_listener_of_one_peer_is_contained(app, clients, caplog):
    Protoo(app)
    alice = clients.join()
    told = []
    alice.peer.on("offline", leave)
    alice.peer.on("offline", told.append)
    alice.closed(1000)
    assert told == [alice.peer]
    assert exits(caplog)


def test_the_exit_of_a_receiver_of_a_signal_is_contained(app, clients, caplog):
    protoo = Protoo(app)
    protoo.get("/", lambda req, next: req.reply(200))
    with signals.peer_online.connected_to(leave, app):
        alice = clients.join()
    assert ask(alice) == 200
    assert exits(caplog)


def test_the_exit_of_a_listener_of_errors_is_contained(app, clients, caplog):
    protoo = Protoo(app)
    protoo.on("routing_error", leave)
    protoo.get("/", leave)
    alice = clients.join()
    assert ask(alice) == 500
    assert ask(alice) == 500
    assert len(exits(caplog)) == 4


@pytest.mark.parametrize("registrar", ["teardown_request", "teardown_appcontext"])
@pytest.mark.parametrize("fails", [False, True], ids=["handler replies", "handler exits"])
def test_the_exit_of_a_teardown_function_is_contained(registrar, fails, app, clients, caplog):
    protoo = Protoo(app)
    protoo.get("/", leave if fails else lambda req, next: req.reply(200))
    alice = clients.join()
    leaves = [True]
    getattr(app, registrar)(lambda error: leave() if leaves else None)
    for _ in range(2):
        assert ask(alice) == (500 if fails else 200)
    leaves.clear()
    assert alice._link.closed is None
    assert caplog.records
    if not fails:
        assert caplog.records[0].message.startswith("error after get / from <Peer alice/a1 online>")
        assert f"in {__name__}" in caplog.records[0].message
        assert "again in" in caplog.records[-1].message


def test_the_exit_of_a_teardown_function_after_an_event_is_contained(app, clients, caplog):
    protoo = Protoo(app)
    told = []
    protoo.on("online", told.append)
    leave_now = []
    app.teardown_appcontext(lambda error: leave() if leave_now else None)
    protoo.on("online", leave_now.append)
    clients.join()
    leave_now.clear()
    assert len(told) == 1
    assert "the listeners of peer_online" in caplog.records[0].message


def add_messenger(protoo):
    protoo.use(p2p_messenger(protoo, allow=leave_for))
    return "message", "/bob"


def add_offline(protoo):
    protoo.use(p2p_messenger(protoo, on_offline=lambda req, username: leave()))
    return "message", "/nobody"


def add_presence(protoo):
    protoo.use(presence(protoo, leave_for))
    return "subscribe", "/bob"


def add_calls(protoo):
    protoo.use(session_handler(protoo, on_session=lambda session, req: leave()))
    return "session", "/bob"


def add_room(protoo):
    protoo.use(room_handler(protoo, on_room=lambda room, req: leave()))
    return "session", "/rooms/7"


def add_room_question(protoo):
    def on_room(room, req):
        room.on("join_request", lambda room, req: leave())

    protoo.use(room_handler(protoo, on_room=on_room))
    return "session", "/rooms/7"


def leave_for(peer, username):
    leave()


FEATURES = [add_messenger, add_offline, add_presence, add_calls, add_room, add_room_question]


@pytest.mark.parametrize("add", FEATURES, ids=lambda add: add.__name__)
def test_the_exit_of_a_function_of_a_feature_is_answered_500(add, app, clients, caplog):
    protoo = Protoo(app)
    method, path = add(protoo)
    alice = clients.join()
    clients.join("bob", "b1")
    for _ in range(2):
        assert ask(alice, method, path) == 500
    assert len(exits(caplog)) == 2
    assert alice._link.closed is None


@pytest.mark.parametrize("event", ["join", "leave", "close"])
def test_the_exit_of_a_listener_of_a_room_is_contained(event, app, clients, caplog):
    protoo = Protoo(app)
    protoo.use(
        room_handler(protoo, on_room=lambda room, req: room.on(event, lambda *_: leave()) and None)
    )
    alice = clients.join()
    for _ in range(2):
        assert ask(alice, "session", "/rooms/7") == 200
        assert ask(alice, "end", "/rooms/7") == 200
    assert len(exits(caplog)) == 2


# The authorizer, which runs in a view


@pytest.mark.parametrize("headers", [HANDSHAKE, {}], ids=["handshake", "plain"])
def test_the_exit_of_an_authorizer_is_an_error_of_the_view(headers, caplog):
    app = Flask("site")
    app.secret_key = "secret"
    protoo = Protoo(app)

    @protoo.authorize
    def authorize():
        leave()

    answer = app.test_client().get("/protoo", headers=headers)
    assert answer.status_code == 500
    assert "authorize" in caplog.text
    assert "has called sys.exit()" in caplog.text


def test_the_exit_of_an_authorizer_that_is_asked_again_is_no_refusal(site, caplog):
    site.connect("alice")
    site.answers["alice"] = leave
    site.scheduler.advance(10)
    assert site.names() == ["alice"]
    assert "could not authorize <Peer alice/a1 online> again" in caplog.text
    del site.answers["alice"]
    site.scheduler.advance(10)
    assert site.names() == ["alice"]


def test_the_exit_of_a_function_before_a_request_is_no_refusal(site, caplog):
    site.connect("alice")
    site.app.before_request_funcs.setdefault(None, []).append(leave)
    site.scheduler.advance(10)
    assert site.names() == ["alice"]
    assert "could not authorize" in caplog.text
