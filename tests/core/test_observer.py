"""The observer: which method is called when, and with which arguments."""

from __future__ import annotations

import json

import pytest

from protoo_flask.core import observers
from protoo_flask.core.errors import Reject
from protoo_flask.core.handling import HandlerError
from protoo_flask.core.inbox import MAX_PATH_LENGTH
from protoo_flask.core.observer import Observer
from protoo_flask.core.peers.peer import broadcast
from protoo_flask.core.request import Request
from protoo_flask.middleware import rate_limit
from tests.fakes import Core, FakeLink

#: Those that the core calls. Of a handshake that was refused, the site tells.
METHODS = [name for name in observers.METHODS if name != "turned_away"]


class Recorder(Observer):
    """Notes every call as ``(name, *arguments)``."""

    def __init__(self):
        self.calls = []

    def take(self, *names):
        """Take the calls so far, or only those of the methods with these names."""
        calls, self.calls = self.calls, []
        return [call for call in calls if not names or call[0] in names]


def record(name):
    def method(self, *arguments):
        self.calls.append((name, *arguments))

    return method


for name in observers.METHODS:
    setattr(Recorder, name, record(name))


class Observed:
    """A core with an observer; its handler for "/" keeps the requests."""

    def __init__(self, **options):
        self.observer = Recorder()
        self.core = Core(observer=self.observer, **options)
        self.requests = []
        self.core.router.get("/", lambda req, next: self.requests.append(req))

    def connect(self, username="alice", uuid="a1"):
        client = self.core.connect(username, uuid)
        self.observer.take()
        return client


# Links


def test_it_is_told_of_a_link_before_the_site_is_told_online():
    observed = Observed()
    order = []
    observed.core.framework.on_event.append(lambda event: order.append(event.name))
    observed.observer.connected = lambda peer: order.append(f"connected {peer.username}")
    observed.core.connect("alice", "a1")
    assert order == ["connected alice", "peer_online", "user_online"]


def test_it_is_told_of_every_link_of_a_device():
    observed = Observed(grace_period=10)
    first = observed.core.connect()
    peer = first.peer
    second = observed.core.connect()
    first.drop(1006)
    second.drop(1001)
    third = observed.core.connect()
    third.leave()
    assert observed.observer.take("connected", "closed") == [
        ("connected", peer),
        ("connected", peer),
        ("closed", peer, 1006),
        ("closed", peer, 1001),
        ("connected", peer),
        ("closed", peer, 1000),
    ]


def test_it_is_told_of_the_end_of_a_link_before_the_site_is_told_offline():
    observed = Observed()
    alice = observed.connect()
    order = []
    observed.core.framework.on_event.append(lambda event: order.append(event.name))
    observed.observer.closed = lambda peer, code: order.append(code)
    alice.drop(1006)
    assert order == [1006, "peer_offline", "user_offline"]


# Messages of a client


def test_it_is_told_of_a_message_then_of_its_request_then_of_the_response():
    observed = Observed()
    observed.core.router.get("/now", lambda req, next: req.reply(200, "OK"))
    alice = observed.connect()
    payload = b'{"method": "get", "path": "/now", "id": 7}'
    alice.send_raw(payload)
    received, admitted, *_, answered = observed.observer.take()
    request = admitted[1]
    assert received == ("received", alice.peer, len(payload))
    assert admitted == ("admitted", request)
    assert answered == ("answered", request, 200)
    assert (request.peer, request.method, request.path, request.id) == (
        alice.peer,
        "get",
        "/now",
        7,
    )


def test_a_message_has_been_received_before_it_is_read():
    observed = Observed()
    alice = observed.connect()
    alice.send_raw(b"hello")
    received, refused, *_ = observed.observer.take()
    assert received == ("received", alice.peer, 5)
    assert refused[:2] == ("refused", alice.peer)
    assert refused[2].startswith("message is not JSON: ")


def test_a_notification_is_admitted_and_never_answered():
    observed = Observed()
    alice = observed.connect()
    alice.notify("get", "/")
    (request,) = observed.requests
    request.reply(200)
    told = observed.observer.take("admitted", "notified", "answered")
    assert told == [("admitted", request), ("notified", request)]


def test_a_request_that_has_to_wait_is_admitted_when_it_is_its_turn():
    observed = Observed()
    admitted = []

    @observed.core.router.get("/slow")
    def send_more(req, next):
        alice.notify("get", "/")
        admitted.extend(observed.observer.take("admitted"))
        assert [request.path for _, request in admitted] == ["/slow"]

    alice = observed.connect()
    alice.notify("get", "/slow")
    admitted = observed.observer.take("admitted")
    assert [request.path for _, request in admitted] == ["/"]
    assert [request for _, request in admitted] == observed.requests


def test_a_response_of_a_client_is_received_and_not_admitted():
    observed = Observed()
    alice = observed.connect()
    transaction = alice.peer.send(Request("get"))
    observed.observer.take()
    alice.respond(alice.take(), 200)
    names = [call[0] for call in observed.observer.take()]
    assert names == ["received", "concluded"]
    assert transaction.response.status == 200


@pytest.mark.parametrize("kind", ["in progress", "repeated", "long path"])
def test_a_request_that_is_not_going_to_be_handled_is_not_admitted(kind):
    observed = Observed(grace_period=10)
    alice = observed.connect()
    path = "/" * (MAX_PATH_LENGTH + 1) if kind == "long path" else "/"
    message = {"method": "get", "path": path, "id": 7}
    if kind != "long path":
        alice.send(message)
        observed.observer.take()
    if kind == "repeated":
        alice.drop()
        alice = observed.connect()
    alice.send(message)
    names = [call[0] for call in observed.observer.take()]
    assert names[0] == "received"
    assert "admitted" not in names
    assert ("refused" in names) is (kind == "in progress")
    assert ("answered" in names) is (kind == "long path")


def test_a_binary_message_is_refused():
    observed = Observed()
    alice = observed.connect()
    alice.inbox.receive_binary()
    (refused,) = observed.observer.take("refused")
    assert refused[1] is alice.peer
    assert "binary" in refused[2]


# Responses to a client


def test_every_response_is_told_with_its_status():
    observed = Observed(response_timeout=30)
    alice = observed.connect()
    for path in ("/", "/nowhere", "/"):
        alice.start_request("get", path)
    first = observed.requests[0]
    first.reply(180, "ringing")
    first.reply(486, "busy")
    observed.core.scheduler.advance(30)
    told = [(request.id, status) for _, request, status in observed.observer.take("answered")]
    assert told == [(2, 404), (1, 180), (1, 486), (3, 504)]


def test_a_response_that_cannot_be_written_is_not_told():
    observed = Observed()
    alice = observed.connect()
    alice.start_request("get", "/")
    with pytest.raises(TypeError):
        observed.requests[0].reply(200, "OK", {"x": object()})
    assert observed.observer.take("answered", "sent") == []


def test_a_response_for_which_nobody_waits_any_more_is_not_told():
    observed = Observed(grace_period=10)
    alice = observed.connect()
    alice.send({"method": "get", "path": "/", "id": 7, "data": {"n": 1}})
    again = observed.connect()
    again.send({"method": "get", "path": "/", "id": 7, "data": {"n": 2}})
    observed.observer.take()
    observed.requests[0].reply(200)
    assert observed.observer.take() == []


# Messages to a client


def test_every_message_that_is_sent_to_a_client_is_told_with_its_size():
    observed = Observed()
    alice, bob = observed.connect("alice", "a1"), observed.connect("bob", "b1")
    alice.peer.send(Request("get", {"n": 1}))
    alice.peer.notify("news", {"n": 2})
    broadcast([bob.peer, alice.peer], "all")
    alice.start_request("get", "/")
    observed.requests[0].reply(200, "OK", {"n": 3})
    sizes = {client: [len(text) for text in client.link.payloads] for client in (alice, bob)}
    assert [len(found) for found in sizes.values()] == [4, 1]
    asked, notified, to_all, answered = sizes[alice]
    assert observed.observer.take("sent") == [
        ("sent", alice.peer, asked),
        ("sent", alice.peer, notified),
        ("sent", bob.peer, to_all),
        ("sent", alice.peer, to_all),
        ("sent", alice.peer, answered),
    ]


def test_a_message_that_waits_for_its_peer_is_told_when_the_peer_is_back():
    observed = Observed(grace_period=10)
    alice = observed.connect()
    alice.start_request("get", "/")
    alice.drop()
    observed.observer.take()
    alice.peer.send(Request("get"))
    alice.peer.notify("news")
    observed.requests[0].reply(200)
    assert observed.observer.take("sent") == []
    alice = observed.core.connect()
    sent = observed.observer.take("sent")
    assert sent == [("sent", alice.peer, len(text)) for text in alice.link.payloads]
    assert len(sent) == 3


def test_a_message_that_its_peer_never_comes_back_for_is_not_told():
    observed = Observed(grace_period=10)
    alice = observed.connect()
    alice.drop()
    alice.peer.notify("news")
    observed.core.scheduler.advance(10)
    assert observed.observer.take("sent") == []


@pytest.mark.parametrize("is_away", [False, True], ids=["takeover", "grace period"])
def test_a_request_that_is_sent_again_is_told_again(is_away):
    observed = Observed(grace_period=10)
    alice = observed.connect()
    alice.peer.send(Request("get"))
    alice.peer.notify("news")
    (first, notice) = alice.link.payloads
    if is_away:
        alice.drop()
    again = observed.core.connect()
    assert again.link.payloads == [first]
    assert observed.observer.take("sent") == [
        ("sent", alice.peer, len(text)) for text in (first, notice, first)
    ]


def test_what_the_next_link_does_not_take_is_not_told():
    observed = Observed(grace_period=10)
    alice = observed.connect()
    alice.peer.send(Request("get"))
    alice.drop()
    observed.observer.take()
    link = FakeLink()
    link.closed = (1008, "slow consumer")  # before it could take anything
    observed.core.connect(link=link)
    assert observed.observer.take("sent") == []


@pytest.mark.parametrize("kind", ["refusal", "repetition"])
def test_a_response_that_the_inbox_sends_by_itself_is_told_with_its_size(kind):
    observed = Observed(grace_period=10)
    alice = observed.connect()
    if kind == "repetition":
        alice.send({"method": "get", "path": "/", "id": 7})
        observed.requests[0].reply(200)
        alice.drop()
        alice = observed.connect()
        alice.send({"method": "get", "path": "/", "id": 7})
    else:
        alice.send_raw(b"hello")
    (text,) = alice.link.payloads
    assert observed.observer.take("sent") == [("sent", alice.peer, len(text))]


def test_a_message_that_nobody_takes_is_not_told():
    observed = Observed()
    alice = observed.connect()
    alice.drop()
    observed.observer.take()
    assert not alice.peer.notify("news")
    alice.peer.send(Request("get"))
    assert observed.observer.take("sent") == []


# Requests of the server


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (lambda client, transaction, core: client.respond(client.take(), 200), 200),
        (lambda client, transaction, core: client.respond(client.take(), 603), 603),
        (lambda client, transaction, core: transaction.cancel(), 487),
        (lambda client, transaction, core: core.scheduler.advance(10), 408),
        (lambda client, transaction, core: client.leave(), 410),
    ],
    ids=["accept", "reject", "cancel", "timeout", "offline"],
)
def test_the_end_of_a_transaction_is_told_once_with_its_response(end, status):
    observed = Observed()
    client = observed.connect()
    transaction = client.peer.send(Request("get"))
    client.respond(json.loads(client.link.payloads[0]), 180)
    assert observed.observer.take("concluded") == []
    end(client, transaction, observed.core)
    transaction.cancel()
    assert observed.observer.take("concluded") == [("concluded", transaction)]
    assert transaction.response.status == status


@pytest.mark.parametrize(
    ("data", "status"), [({"x": object()}, 400), ({"x": "x" * 9_000_000}, 503)], ids=["400", "503"]
)
def test_a_request_that_cannot_be_sent_is_concluded_and_not_sent(data, status):
    observed = Observed()
    client = observed.connect()
    transaction = client.peer.send(Request("get", data))
    refused = [("limited", "unanswered", client.peer)] if status == 503 else []
    assert observed.observer.take() == [*refused, ("concluded", transaction)]
    assert transaction.response.status == status


def test_the_response_is_there_when_the_end_of_a_transaction_is_told():
    observed = Observed()
    client = observed.connect()
    order = []
    observed.observer.concluded = lambda transaction: order.append(transaction.response.status)
    client.peer.send(Request("get"), lambda response: order.append("on_response"))
    client.respond(client.take(), 202)
    assert order == [202, "on_response"]


# Errors of the site


def test_an_error_of_a_handler_is_told_with_its_request():
    observed = Observed()
    error = ValueError("a mistake")

    @observed.core.router.get("/fail")
    def fail(req, next):
        raise error

    alice = observed.connect()
    alice.start_request("get", "/fail")
    [(_, told, request)] = observed.observer.take("failed")
    assert told is error
    assert request.path == "/fail"


def test_anything_else_given_to_next_is_told_as_an_error():
    observed = Observed()
    observed.core.router.get("/fail", lambda req, next: next("no\nway"))
    observed.connect().start_request("get", "/fail")
    [(_, told, _)] = observed.observer.take("failed")
    assert isinstance(told, HandlerError)
    assert str(told) == r"'no\nway'"


@pytest.mark.parametrize("error", [Reject(403, "no"), Reject(404, "nobody")], ids=["403", "404"])
def test_an_error_that_is_an_answer_is_not_told(error):
    observed = Observed()
    observed.core.router.get("/fail", lambda req, next: next(error))
    observed.connect().start_request("get", "/fail")
    assert observed.observer.take("failed") == []


def test_an_error_of_a_function_that_takes_responses_is_told_without_a_request():
    observed = Observed()
    alice = observed.connect()
    error = ValueError("a mistake")

    def take(response):
        raise error

    alice.peer.send(Request("get"), take)
    alice.respond(alice.take(), 200)
    assert observed.observer.take("failed") == [("failed", error, None)]


# Durations


def test_a_request_knows_when_it_was_admitted():
    observed = Observed()
    alice = observed.connect()
    observed.core.scheduler.advance(5)
    alice.start_request("get", "/")
    (request,) = observed.requests
    assert request.admitted_at == observed.core.scheduler.now()


def test_the_time_in_the_backlog_is_not_that_of_the_handlers():
    observed = Observed()

    @observed.core.router.get("/slow")
    def send_more(req, next):
        alice.notify("get", "/")
        observed.core.scheduler.advance(3)

    alice = observed.connect()
    alice.notify("get", "/slow")
    (request,) = observed.requests
    assert request.admitted_at == observed.core.scheduler.now()


# With and without


def fail(req, next):
    raise ValueError("a mistake of the site")


def live(core):
    """Do a little of everything; returns the messages that both clients got."""
    core.router.get("/", lambda req, next: req.reply(200, "OK"))
    core.router.get("/fail", fail)
    core.router.get("/rarely", rate_limit("1/h"))
    core.router.get("/bob", lambda req, next: bob.peer.send(req, on_response=req.reply))
    alice, bob = core.connect("alice", "a1"), core.connect("bob", "b1")
    alice.send_raw(b"hello")
    alice.start_request("get", "/")
    alice.start_request("get", "/fail")
    alice.start_request("get", "/bob")
    bob.respond(bob.take(), 200, "yes")
    alice.notify("get", "/rarely")
    alice.notify("get", "/rarely")
    alice.peer.notify("news")
    alice.notify("get", "/")
    bob.peer.send(Request("get")).cancel()
    bob.peer.send(Request("get", {"x": "x" * 9_000_000}))  # a limit refuses it
    bob.drop()
    alice.leave()
    return alice.take_all(), bob.take_all()


def test_every_method_of_an_observer_is_called_in_the_life_of_two_clients():
    observer = Recorder()
    live(Core(observer=observer))
    assert {call[0] for call in observer.calls} == set(METHODS)


def test_an_observer_changes_nothing():
    assert Core().application.runtime.observer is None
    assert live(Core()) == live(Core(observer=Recorder())) == live(Core(observer=Observer()))


@pytest.mark.parametrize("method", METHODS)
def test_an_observer_may_override_one_method_only(method):
    counted = []
    kind = type("Counter", (Observer,), {method: lambda self, *arguments: counted.append(1)})
    live(Core(observer=kind()))
    everything = Recorder()
    live(Core(observer=everything))
    assert len(counted) == len(everything.take(method)) > 0
