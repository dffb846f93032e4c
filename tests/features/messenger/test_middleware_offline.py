"""p2p_messenger(on_offline=...): messages to users that are offline."""

from __future__ import annotations

import pytest
from flask import session as flask_session

from protoo_flask import Protoo
from protoo_flask.core.errors import UsageError
from protoo_flask.core.response import Response
from protoo_flask.middleware import p2p_messenger
from protoo_flask.testing import finish
from tests.fakes import FakeScheduler, postpone
from tests.features.sites import status_line
from tests.joining import make_app

from .messengers import NOTHING, Messenger, Store


def test_on_offline_may_store_the_message_and_reply():
    kept = []

    def keep(req, username):
        kept.append((username, req.data))
        req.reply(202, "kept")

    messenger = Messenger("alice/a1", on_offline=keep)
    answer = messenger["alice/a1"].request("message", "/users/bob", {"text": "hi"})
    assert (answer["status"], answer["reason"]) == (202, "kept")
    assert kept == [("bob", {"text": "hi"})]
    assert messenger.core.framework.errors == []


def test_without_a_reply_of_on_offline_the_sender_gets_404():
    messenger = Messenger("alice/a1", on_offline=lambda req, username: None)
    assert messenger["alice/a1"].request("message", "/users/bob")["reason"] == "peer not found"


@pytest.mark.parametrize("path", ["/users/bob/b9", "/users/alice", "/users/alice/a9", "/users/bob"])
def test_on_offline_is_not_called_for_an_online_user(path):
    called = []
    messenger = Messenger(
        "alice/a1", "bob/b1", on_offline=lambda req, username: called.append(username)
    )
    messenger["alice/a1"].start_request("message", path)
    assert called == []


def test_on_offline_is_called_for_notifications_too():
    kept = []
    messenger = Messenger(
        "alice/a1", on_offline=lambda req, username: kept.append(req.is_notification)
    )
    messenger["alice/a1"].notify("message", "/users/bob")
    assert kept == [True]
    assert messenger.take_recipients() == []


def test_an_on_offline_that_fails_is_answered_500():
    messenger = Messenger("alice/a1", on_offline=lambda req, username: 1 / 0)
    assert messenger["alice/a1"].request("message", "/users/bob")["status"] == 500


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"report": "some"}, r"""report=...\) is None, "first" or "all", not 'some'"""),
        ({"report": True}, r"""report=...\) is None, "first" or "all", not True"""),
        ({"report": ["all"]}, r"""report=...\) is None, "first" or "all", not \['all'\]"""),
        ({"on_offline": 202}, "202"),
    ],
    ids=["mode", "boolean", "list", "on_offline"],
)
def test_wrong_options_are_refused_at_once(options, problem):
    with pytest.raises(UsageError, match=problem):
        p2p_messenger(None, **options)


# Recipients that leave before they answer


@pytest.mark.parametrize("path", ["/users/bob", "/users/bob/b1"])
def test_a_message_is_offered_when_its_only_recipient_leaves_without_answering(path):
    store = Store()
    messenger = Messenger("alice/a1", "bob/b1", on_offline=store)
    messenger["alice/a1"].start_request("message", path, {"text": "hi"})
    assert store.kept == []
    messenger["bob/b1"].drop()
    (answer,) = messenger["alice/a1"].take_all()
    assert status_line(answer) == (202, "kept")
    assert store.kept == [("bob", "a1", {"text": "hi"})]
    assert messenger.left_behind() == NOTHING


def test_a_recipient_with_a_closing_link_counts_as_gone():
    store = Store()
    messenger = Messenger("alice/a1", "bob/b1", on_offline=store)
    bob = messenger["bob/b1"]
    # The peer leaves after it was found and before the send, as in another thread.
    messenger.peers = lambda *who: [bob.peer] if not store.kept and bob.peer.online else []
    bob.link.send = lambda payload, id=None: bob.drop()
    answer = messenger["alice/a1"].request("message", "/users/bob")
    assert status_line(answer) == (202, "kept")
    assert len(store.kept) == 1


def test_without_a_reply_of_on_offline_the_410_goes_to_the_sender():
    store = Store(reply=None)
    messenger = Messenger("alice/a1", "bob/b1", on_offline=store)
    messenger["alice/a1"].start_request("message", "/users/bob")
    messenger["bob/b1"].drop()
    (answer,) = messenger["alice/a1"].take_all()
    assert status_line(answer) == (410, "peer offline")
    assert len(store.kept) == 1


ERRORS = [ZeroDivisionError("oops"), SystemExit("oops"), KeyboardInterrupt()]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_an_error_in_on_offline_after_the_recipient_left_is_answered_500(error, caplog):
    messenger = Messenger("alice/a1", "bob/b1", on_offline=Store(error=error))
    messenger["alice/a1"].start_request("message", "/users/bob")
    if isinstance(error, (Exception, SystemExit)):
        messenger["bob/b1"].drop()
        assert "oops" in caplog.text
    else:
        with pytest.raises(KeyboardInterrupt):
            messenger["bob/b1"].drop()
    (answer,) = messenger["alice/a1"].take_all()
    assert status_line(answer) == (500, "internal server error")


def test_an_error_after_the_reply_of_on_offline_does_not_answer_twice(caplog):
    def keep(req, username):
        req.reply(202, "kept")
        raise ZeroDivisionError("oops")

    messenger = Messenger("alice/a1", "bob/b1", on_offline=keep)
    messenger["alice/a1"].start_request("message", "/users/bob")
    messenger["bob/b1"].drop()
    (answer,) = messenger["alice/a1"].take_all()
    assert status_line(answer) == (202, "kept")
    assert "oops" in caplog.text


@pytest.mark.parametrize(
    ("path", "happen", "answer"),
    [
        ("/users/bob/b1", lambda m: m["bob/b1"].drop(), (410, "peer offline")),
        ("/users/bob/b1", lambda m: m.core.scheduler.advance(10), (408, "request timeout")),
        (
            "/users/bob/b1",
            lambda m: m["bob/b1"].respond(m["bob/b1"].take(), 410, "moved"),
            (410, "moved"),
        ),
        (
            "/users/bob/b1",
            lambda m: m["bob/b1"].respond(m["bob/b1"].take(), 200, "read"),
            (200, "read"),
        ),
    ],
    ids=["other-device-there", "timeout", "own-410", "accepted"],
)
def test_a_message_is_offered_only_when_the_user_has_gone(path, happen, answer):
    store = Store()
    messenger = Messenger("alice/a1", "bob/b1", "bob/b2", on_offline=store)
    messenger["alice/a1"].start_request("message", path)
    happen(messenger)
    (told,) = messenger["alice/a1"].take_all()
    assert status_line(told) == answer
    assert store.kept == []
    assert messenger.left_behind() == NOTHING


def test_with_on_offline_responses_are_relayed_as_usual():
    messenger = Messenger("alice/a1", "bob/b1", on_offline=Store())
    alice, bob = messenger["alice/a1"], messenger["bob/b1"]
    id = alice.start_request("message", "/users/bob")
    request = bob.take()
    bob.respond(request, 180, "ringing")
    bob.respond(request, 486, "busy", {"until": "noon"})
    assert alice.take_all() == [
        {"status": 180, "reason": "ringing", "id": id, "data": {}},
        {"status": 486, "reason": "busy", "id": id, "data": {"until": "noon"}},
    ]


def test_with_on_offline_a_response_that_cannot_be_relayed_is_answered_500():
    messenger = Messenger("alice/a1", "bob/b1", on_offline=Store())
    messenger["alice/a1"].start_request("message", "/users/bob")
    bob = messenger["bob/b1"]
    unsendable = Response(200, "OK", {"x": object()}, peer=bob.peer)
    bob.peer.outbound.receive(bob.take()["id"], unsendable)
    (answer,) = messenger["alice/a1"].take_all()
    assert answer["status"] == 500
    assert "cannot be written as JSON" in answer["reason"]


def test_without_a_report_a_message_to_several_devices_is_not_offered():
    store = Store()
    messenger = Messenger("alice/a1", "bob/b1", "bob/b2", on_offline=store)
    messenger["alice/a1"].start_request("message", "/users/bob")
    messenger["bob/b1"].drop()
    messenger["bob/b2"].drop()
    (answer,) = messenger["alice/a1"].take_all()
    assert status_line(answer) == (200, "message sent to 2 peers")
    assert store.kept == []
    assert messenger.left_behind() == NOTHING


def test_a_message_is_offered_after_its_sender_has_left():
    store = Store()
    messenger = Messenger("alice/a1", "bob/b1", on_offline=store)
    messenger["alice/a1"].start_request("message", "/users/bob")
    messenger["alice/a1"].drop()
    messenger["bob/b1"].drop()
    assert [username for username, _, _ in store.kept] == ["bob"]
    assert messenger.left_behind() == NOTHING


def test_a_message_answered_504_is_not_offered():
    store = Store()
    messenger = Messenger("alice/a1", "bob/b1", on_offline=store)

    alice = messenger["alice/a1"]
    captured = []
    send = messenger["bob/b1"].peer.send

    def capture(req, on_response=None):
        captured.append(req)
        return send(req, on_response)

    messenger["bob/b1"].peer.send = capture
    alice.start_request("message", "/users/bob")
    captured[0].reply(504, "no answer")
    messenger["bob/b1"].drop()
    (answer,) = alice.take_all()
    assert status_line(answer) == (504, "no answer")
    assert store.kept == []


class PatientScheduler(FakeScheduler):
    """A scheduler that runs spawned functions only when the test says so."""

    def __init__(self):
        super().__init__()
        self._spawned = []

    def spawn(self, function, *args):
        postpone(self._spawned)(function, *args)

    def run_spawned(self):
        while self._spawned:
            function, *args = self._spawned.pop(0)
            function(*args)


def test_on_offline_runs_in_contexts_of_the_sender_with_their_own_teardown():
    app = make_app()
    protoo = Protoo(app)
    journal = []

    def keep(req, username):
        journal.append(f"keep for {username} in the session of {flask_session['username']}")
        req.reply(202, "kept")

    app.teardown_appcontext(lambda exc: journal.append("teardown"))
    protoo.use("/users", p2p_messenger(protoo, on_offline=keep))
    alice, bob = [protoo.test_client(username=name) for name in ("alice", "bob")]
    sent = alice.send("message", "/users/bob")
    journal.clear()
    bob.drop()
    assert journal == ["teardown", "keep for bob in the session of alice", "teardown"]
    assert sent.wait().status == 202
    finish(app)


@pytest.mark.parametrize("report", [None, "all"])
def test_messages_that_a_device_left_unanswered_are_offered_one_after_the_other(report):
    running, kept = [], []

    def keep(req, username):
        assert running == [], "on_offline runs for another message of this sender"
        running.append(req.id)
        # It blocks, so other greenlets run.
        scheduler.run_spawned()
        kept.append(running.pop())
        req.reply(202, "kept")

    messenger = Messenger("alice/a1", "alice/a2", "bob/b1", on_offline=keep, report=report)
    scheduler = PatientScheduler()
    messenger.core.scheduler.spawn = scheduler.spawn
    for name in ("alice/a1", "alice/a2"):
        for _ in range(50):
            messenger[name].start_request("message", "/users/bob")
    messenger["bob/b1"].drop()
    scheduler.run_spawned()
    assert kept == [*range(1, 51), *range(1, 51)]
    for name in ("alice/a1", "alice/a2"):
        assert [answer["status"] for answer in messenger[name].take_all()] == [202] * 50
    (returned,) = messenger.services().values()
    assert len(returned) == 0
