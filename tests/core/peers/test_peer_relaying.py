"""A peer: requests are forwarded to it, and its responses relayed."""

from __future__ import annotations

import functools

import pytest

from protoo_flask.core.request import ReceivedRequest, Request
from protoo_flask.core.response import Response
from tests.fakes import Core, FakeContext, FakeFramework


def test_a_request_is_forwarded_with_its_method_data_and_sender_and_an_id_of_its_own():
    core = Core()
    core.router.message("/bob", lambda req, next: to_bob(req, on_response=req.reply))
    alice, bob = core.connect("alice", "a1"), core.connect("bob", "b1")
    to_bob = bob.peer.send
    id = alice.start_request("message", "/bob", {"text": "hi"})
    forwarded = bob.take()
    assert forwarded == {
        "method": "message",
        "id": 100,
        "data": {"text": "hi"},
        "sender": {"username": "alice", "uuid": "a1"},
    }
    bob.respond(forwarded, 180, "reading")
    bob.respond(forwarded, 299, "read", {"n": 1})
    assert alice.take_all() == [
        {"status": 180, "reason": "reading", "id": id, "data": {}},
        {"status": 299, "reason": "read", "id": id, "data": {"n": 1}},
    ]


def test_what_comes_back_after_the_request_was_answered_otherwise_goes_nowhere(caplog):
    core = Core()

    @core.router.message("/bob")
    def forward_and_answer(req, next):
        to_bob(req, on_response=req.reply)
        req.reply(202, "on its way")

    alice, bob = core.connect("alice", "a1"), core.connect("bob", "b1")
    to_bob = bob.peer.send
    assert alice.request("message", "/bob")["status"] == 202
    bob.respond(bob.take(), 200)
    assert alice.take_all() == []
    assert core.framework.errors == caplog.records == []


def test_on_response_may_be_any_function_and_runs_in_the_contexts_of_who_responds():
    core = Core()
    ran = []
    alice, bob = core.connect("alice", "a1"), core.connect("bob", "b1")
    alice.peer.context = bob.peer.context = FakeContext(FakeFramework())
    bob.peer.context.run = lambda function, *args: (ran.append(bob.peer), function(*args))
    told = []
    bob.peer.send(Request("get"), functools.partial(told.append))
    bob.respond(bob.take(), 200)
    assert ran == [bob.peer]
    assert told[0].status == 200
    assert alice.take_all() == []


def test_a_response_that_cannot_be_relayed_is_answered_with_500_and_harms_nobody():
    core = Core()
    core.router.message("/bob", lambda req, next: to_bob(req, on_response=req.reply))
    alice, bob = core.connect("alice", "a1"), core.connect("bob", "b1")
    to_bob = bob.peer.send
    id = alice.start_request("message", "/bob")
    # Stands for data nested so deeply that the stack sufficed for reading it only.
    endless = {}
    endless["data"] = endless
    assert bob.peer.outbound.receive(bob.take()["id"], Response(200, "OK", endless))
    (answer,) = alice.take_all()
    assert (answer["status"], answer["id"]) == (500, id)
    assert "cannot be written as JSON" in answer["reason"]
    assert core.scheduler.pending_timers == 0


def test_a_relay_that_cannot_be_leaves_the_others_and_is_logged(caplog):
    core = Core()
    bob = core.connect("bob", "b1")
    to_be_sent = Request("made here, so nobody waits for an answer to it")
    bob.peer.send(Request("one"), on_response=to_be_sent.reply)
    other = bob.peer.send(Request("two"))
    bob.leave()
    assert other.response.status == 410
    assert core.framework.told[-1] == ("user_offline", "bob")
    assert "was made here to be sent" in caplog.text


def test_a_relay_to_somebody_who_is_answered_by_another_just_then_harms_nobody():
    core = Core()
    requests = []
    core.router.get("/", lambda req, next: requests.append(req))
    alice, bob = core.connect("alice", "a1"), core.connect("bob", "b1")
    alice.start_request("get", "/")
    [request] = requests

    class Another:
        def respond(self, request, status, reason, data):
            request._responder = alice.peer.requests
            request.reply(504, "no answer")
            request.reply(status, reason, data)

    request._responder = Another()
    bob.peer.send(Request("one"), on_response=request.reply)
    bob.respond(bob.take(), 200)
    assert [answer["status"] for answer in alice.take_all()] == [504]


# A relay needs no contexts


def keep_request(core):
    """Connect Alice, who asks, and Bob, whose contexts cannot be entered; returns the request."""
    requests = []
    core.router.message("/bob", lambda req, next: requests.append(req))
    alice, bob = core.connect("alice", "a1"), core.connect("bob", "b1")
    alice.start_request("message", "/bob")
    ran = []
    bob.peer.context.run = lambda function, *args: (ran.append(function), function(*args))
    return alice, bob, requests[0], ran


def test_the_reply_method_of_a_request_is_called_without_contexts():
    alice, bob, request, ran = keep_request(Core())
    bob.peer.send(request, on_response=request.reply)
    asked = bob.take()
    bob.respond(asked, 180)
    bob.respond(asked, 200)
    assert [answer["status"] for answer in alice.take_all()] == [180, 200]
    assert ran == []


def test_a_local_response_is_relayed_without_contexts_too():
    alice, bob, request, ran = keep_request(Core())
    bob.peer.send(request, on_response=request.reply).cancel()
    assert [answer["status"] for answer in alice.take_all()] == [487]
    assert ran == []


@pytest.mark.parametrize(
    "wrap",
    [
        functools.partial,
        lambda reply: lambda response: reply(response),
        lambda reply: functools.wraps(reply)(lambda response: reply(response)),
    ],
    ids=["a partial", "a lambda", "a decorated function"],
)
def test_a_reply_method_in_a_wrapper_is_code_of_the_site(wrap):
    alice, bob, request, ran = keep_request(Core())
    bob.peer.send(request, on_response=wrap(request.reply))
    bob.respond(bob.take(), 200)
    assert [answer["status"] for answer in alice.take_all()] == [200]
    assert len(ran) == 1


def test_the_overridden_reply_method_of_a_subclass_is_code_of_the_site():
    class Counted(ReceivedRequest):
        __slots__ = ()
        replies = []

        def reply(self, status, reason="", data=None):
            self.replies.append(status.status)
            super().reply(status, reason, data)

    alice, bob, request, ran = keep_request(Core())
    request.__class__ = Counted
    bob.peer.send(request, on_response=request.reply)
    bob.respond(bob.take(), 200)
    assert [answer["status"] for answer in alice.take_all()] == [200]
    assert Counted.replies == [200]
    assert ran == [request.reply]


def test_the_inherited_reply_method_of_a_subclass_is_called_without_contexts():
    class Named(ReceivedRequest):
        __slots__ = ()

    alice, bob, request, ran = keep_request(Core())
    request.__class__ = Named
    bob.peer.send(request, on_response=request.reply)
    bob.respond(bob.take(), 200)
    assert [answer["status"] for answer in alice.take_all()] == [200]
    assert ran == []
