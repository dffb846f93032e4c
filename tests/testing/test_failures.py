"""Each failure of the kit shows what was expected, and what came instead."""

from __future__ import annotations

import gevent
import pytest

from protoo_flask.testing import ExpectationFailed, Leak, Unsettled, finish

AT_REST = "the app is at rest, and waits for the test"


def failure_of(function, *args):
    with pytest.raises(ExpectationFailed) as error:
        function(*args)
    return str(error.value).splitlines()


def test_a_missing_notification_shows_the_inbox(alice, bob):
    alice.peer.notify("news", {"n": 1})
    sent = bob.send("message", "/users/alice", {"text": "hi"})
    assert failure_of(alice.expect_notification, "presence") == [
        f"alice/phone expected a notification 'presence'; {AT_REST}",
        "Messages that the test has not taken, the oldest first:",
        "  1. notification 'news' {\"n\": 1}",
        '  2. request \'message\' from bob/laptop {"text": "hi"}, not answered',
        "bob/laptop waits for a response: message /users/alice: no response",
        "When the clock is moved:",
        "  - the time for a peer's response is over, in 20 s",
        "  - a request that no handler answers gets 504, in 60 s",
    ]
    alice.expect_request().reply(200)
    assert sent.wait().status == 200


def test_a_missing_final_response_shows_those_before(alice, bob):
    sent = alice.send("session", "/users/bob")
    bob.expect_request("session").reply(180, "ringing")
    lines = failure_of(sent.wait)
    assert lines[0].startswith("alice/phone expected a final response to session /users/bob; ")
    assert lines[1] == "Its responses: session /users/bob: 100 'connecting', 180 'ringing'"
    assert lines[2] == "There is no message that the test has not taken."
    assert lines[3].startswith("bob/laptop was asked: request 'session' from alice/phone")
    assert lines[-1] == "  - nobody has answered a call, in 120 s"


def test_a_request_that_no_handler_answers_fails_at_once(alice):
    lines = failure_of(alice.request, "get", "/forgotten")
    assert lines[1] == "Its responses: get /forgotten: no response"
    assert lines[-1] == "  - a request that no handler answers gets 504, in 60 s"


def test_a_wrong_status_shows_the_right_one(alice):
    sent = alice.send("get", "/steps")
    lines = failure_of(sent.expect_response, 180)
    assert lines[0].startswith("alice/phone expected a response 180 next to get /steps")
    assert lines[1] == "Its responses: get /steps: 100 'first', 150 'second', 200 'last'"


def test_a_missing_response_after_the_final_one(alice):
    sent = alice.send("get", "/echo")
    sent.wait()
    assert failure_of(sent.expect_response)[0].startswith("alice/phone expected a response to get")


def test_a_message_that_was_not_expected(alice):
    alice.peer.notify("news", {"text": "x" * 1000})
    first, _, third = failure_of(alice.expect_nothing)[:3]
    assert first == "alice/phone expected nothing"
    assert third.startswith('  1. notification \'news\' {"text": "xxx')
    assert third.endswith("... (1012 characters)")


def test_a_close_that_does_not_come_and_one_with_another_code(alice):
    assert failure_of(alice.expect_close, 3001)[0].startswith(
        "alice/phone expected a Close with 3001; the app is at rest"
    )
    alice.peer.close(1000, "bye")
    lines = failure_of(alice.expect_close, 3001)
    assert lines[0].endswith("expected a Close with 3001; it was closed with another code")
    assert "The connection was closed: 1000 'bye'" in lines
    lines = failure_of(alice.expect_request)
    assert "The connection was closed: 1000 'bye'" in lines


def test_a_bad_message_is_shown_to_a_test_that_expects_another(alice):
    alice.send_raw('{"method": "get"}')
    lines = failure_of(alice.expect_request)
    assert lines[2].startswith("  1. response 400 'path is missing")


def test_a_handler_that_takes_too_long_is_named(protoo):
    @protoo.get("/late")
    def late(req, next):
        gevent.sleep(0.3)
        req.reply(200)

    alice = protoo.test_client(username="alice", uuid="phone")
    protoo.test_clock.patience = 0.05
    lines = failure_of(alice.request, "get", "/late")
    assert lines[0].endswith("after 0.05 s of real time, these have not ended:")
    assert lines[1].startswith(f"  - a greenlet in late ({__file__}:")
    with pytest.raises(Unsettled):
        protoo.test_clock.advance(1)
    protoo.test_clock.patience = 10
    protoo.test_clock.settle()


def test_an_app_without_leaks_finishes(protoo, alice, bob):
    sent = alice.send("session", "/users/bob")
    bob.expect_request("session").reply(200)
    sent.wait()
    alice.request("session", "/rooms/one")
    alice.request("subscribe", "/presence/bob")
    alice.send("get", "/forgotten")
    bob.drop()
    finish(protoo._site.app)
    assert protoo.peers() == []


def test_what_is_left_at_the_end_is_named(protoo):
    gate = gevent.event.Event()

    @protoo.get("/stuck")
    def stuck(req, next):
        gevent.spawn(wait_for_gate)
        gate.wait()

    def wait_for_gate():
        gate.wait()

    alice = protoo.test_client(username="alice", uuid="phone")
    alice.send("get", "/stuck")
    runtime = alice.peer.runtime

    def remind():
        """Not called: the timer stays."""

    timer = runtime.scheduler.call_later(60, remind)
    with pytest.raises(Leak) as error:
        finish(protoo._site.app)
    first, *found = str(error.value).splitlines()
    assert first == "the test has left behind, after its clients have gone:"
    assert any("a timer calls test_what_is_left" in line for line in found), found
    assert any(
        line.startswith(f"  - a greenlet in stuck ({__file__}:")
        and line.endswith("which does not return")
        for line in found
    ), found
    assert any(f"a greenlet in wait_for_gate ({__file__}:" in line for line in found), found
    timer.cancel()
    gate.set()
