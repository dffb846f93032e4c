"""Texts that a peer has chosen come into logs, errors and reprs on one line, escaped and cut."""

from __future__ import annotations

import time

import pytest

from protoo_flask.core.errors import BadPath, Reject, UsageError
from protoo_flask.core.names import to_address, to_name
from protoo_flask.core.peers.directory import Identity, TooManyPeers
from protoo_flask.core.peers.peer import broadcast, check_peer
from protoo_flask.core.request import Request
from protoo_flask.core.response import Response
from protoo_flask.core.routing.matching.patterns import decode
from protoo_flask.core.transactions.client import ClientTransaction
from protoo_flask.features.calls.leg import Leg
from protoo_flask.features.calls.session import Session
from protoo_flask.features.rooms.room import Room
from tests.fakes import Core

#: A second line of the log, a command for the terminal, text from right to left.
EVIL = "x\n2026-01-01 ERROR root logged in\r\x1b[2J\x9b2J\x85\u2028\u2029\u202e\u2066\0"
LONG = "y" * 60_000

TEXTS = pytest.mark.parametrize("text", [EVIL, LONG], ids=["evil", "long"])

#: Characters of a line: some excerpts, and the words between them.
MAX_LINE = 1500


def check(line):
    assert line.isprintable()
    assert len(line) < MAX_LINE


def check_log(caplog):
    assert caplog.records
    for record in caplog.records:
        check(record.getMessage())


def connect(core, text):
    """Connect a peer with a name like that."""
    return core.connect(f"user {text}", f"uuid {text}")


# Logs


def answer_nothing(req, next):
    pass


def fail(req, next):
    raise ValueError(req.method)


def pass_text_on(req, next):
    next(req.method)


def pass_data_on(req, next):
    next({"method": req.method, "data": req.data})


def leave(req, next):
    raise SystemExit(req.method)


def return_value(req, next):
    return req.data


def reply_twice(req, next):
    req.reply(200, req.method)
    req.reply(200, req.method)


def reject(req, next):
    raise Reject(500, req.method)


FAILING = [fail, pass_text_on, pass_data_on, leave, return_value, reply_twice, reject]


@TEXTS
@pytest.mark.parametrize("handler", FAILING, ids=lambda handler: handler.__name__)
def test_an_error_of_a_handler_is_one_line_of_the_log(handler, text, caplog):
    core = Core()
    core.router.use(handler)
    alice = connect(core, text)
    alice.request(f"get {text}", "/x%0a\u202e/" + text[:1] + "y" * 4000, {"text": text})
    check_log(caplog)


@TEXTS
def test_a_request_without_an_answer_is_one_line_of_the_log(text, caplog):
    core = Core(response_timeout=60)
    core.router.use(answer_nothing)
    alice = connect(core, text)
    alice.start_request(f"get {text}", "/\u202e" + "y" * 4000)
    core.scheduler.advance(60)
    assert alice.take()["status"] == 504
    check_log(caplog)


@TEXTS
def test_an_error_of_on_response_is_one_line_of_the_log(text, caplog):
    core = Core()
    alice = connect(core, text)
    alice.peer.send(Request("ask"), on_response=lambda response: fail(Request("x"), None))
    alice.respond(alice.take(), 200, text, {"text": text})
    check_log(caplog)


@TEXTS
def test_a_failed_teardown_is_told_with_one_line(text):
    core = Core()
    core.router.use(answer_nothing)
    alice = connect(core, text)

    def run(function, *args):
        function(*args)
        raise ValueError

    core.framework.run = run
    alice.start_request(f"get {text}", "/")
    check(core.framework.failed_teardowns[0])


# Reprs


class Rooms:
    """The owner of a room."""


@TEXTS
def test_every_repr_is_one_line(text):
    core = Core()
    peer = connect(core, text).peer
    request = Request(f"get {text}")
    request.original_path = "/" + text
    transaction = peer.send(Request(f"get {text}"))
    assert isinstance(transaction, ClientTransaction)
    session = Session("/" + text, peer.address, peer.address, time.time)
    room = Room(text, "/" + text, Rooms(), peer)
    for thing in (peer, request, transaction, session, room, Leg(peer), Response(200, text)):
        check(repr(thing))
        check(str(thing))
        check(f"{thing}")


def test_the_repr_of_usual_things_is_as_plain_as_before():
    core = Core()
    peer = core.connect("Zo\u00eb", "a1").peer
    assert repr(peer) == "<Peer Zo\u00eb/a1 online>"
    assert repr(Request("message")) == "<Request message / notification>"
    assert repr(Response(200, "it's OK")) == '<Response 200 "it\'s OK">'
    assert str(Reject(403, "banned until Monday")) == "403 banned until Monday"


# Errors


@TEXTS
@pytest.mark.parametrize(
    "call",
    [
        lambda text: to_name([text], "peers(username)"),
        lambda text: to_name(text.encode(), "peers(username)"),
        lambda text: to_address({text: text}, "sender"),
        lambda text: Request([text]),
        lambda text: Request("get", text),
        lambda text: Response(text),
        lambda text: Response(200, [text]),
        lambda text: Reject(text),
        lambda text: check_peer(text, "room.remove(peer)"),
        lambda text: broadcast(text, "get"),
        lambda text: broadcast([text], "get"),
        lambda text: decode("%zz" + text),
    ],
)
def test_an_error_quotes_an_untrusted_value_on_one_line(call, text):
    with pytest.raises((UsageError, BadPath)) as caught:
        call(text)
    check(str(caught.value))


@TEXTS
def test_the_reasons_of_refusals_are_one_line(text):
    check(TooManyPeers(text, 16).reason)
    check(str(Reject(403, text)))


def test_the_reason_of_a_reject_reaches_the_peer_as_it_is():
    core = Core()
    core.router.use(lambda req, next: next(Reject(403, "two\nlines")))
    assert core.connect().request("get", "/")["reason"] == "two\nlines"


def test_a_name_of_a_peer_is_not_changed():
    core = Core()
    peer = core.connect(EVIL, EVIL).peer
    assert (peer.username, peer.uuid) == (EVIL, EVIL)
    assert Identity(EVIL, EVIL, None).username == EVIL
