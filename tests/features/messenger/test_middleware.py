"""p2p_messenger: who gets a message, and what its sender is told."""

from __future__ import annotations

import pytest
from flask import session

from protoo_flask import Protoo
from protoo_flask.core.errors import Unsendable, UsageError
from protoo_flask.core.response import Response
from protoo_flask.core.routing.router import Router
from protoo_flask.middleware import p2p_messenger
from tests.fakes import FakeScheduler, postpone
from tests.joining import join, make_app

from .messengers import NOTHING, Messenger, spoil_requests


def test_a_message_to_a_device_is_forwarded_to_it():
    messenger = Messenger("alice/a1", "bob/b1", "bob/b2")
    messenger["alice/a1"].start_request("message", "/users/bob/b1", {"text": "hi"})
    assert messenger["bob/b1"].take_all() == [
        {
            "method": "message",
            "id": 100,
            "data": {"text": "hi"},
            "sender": {"username": "alice", "uuid": "a1"},
        }
    ]
    assert messenger.who_got_something() == []


@pytest.mark.parametrize("path", ["/users/bob", "/users/bob/", "/users/bob/b1", "/USERS/bob"])
def test_the_responses_of_one_peer_go_back_to_the_sender_as_they_are(path):
    messenger = Messenger("alice/a1", "bob/b1")
    alice, bob = messenger["alice/a1"], messenger["bob/b1"]
    id = alice.start_request("message", path)
    request = bob.take()
    bob.respond(request, 100, "reading")
    bob.respond(request, 486, "busy", {"until": "noon"})
    assert alice.take_all() == [
        {"status": 100, "reason": "reading", "id": id, "data": {}},
        {"status": 486, "reason": "busy", "id": id, "data": {"until": "noon"}},
    ]


@pytest.mark.parametrize(
    ("happen", "answer"),
    [
        (lambda core, bob: core.scheduler.advance(10), (408, "request timeout")),
        (lambda core, bob: bob.drop(), (410, "peer offline")),
        (lambda core, bob: bob.peer.close(), (410, "peer offline")),
    ],
    ids=["timeout", "dropped", "closed"],
)
def test_the_sender_is_told_when_no_response_comes(happen, answer):
    messenger = Messenger("alice/a1", "bob/b1")
    messenger["alice/a1"].start_request("message", "/users/bob")
    happen(messenger.core, messenger["bob/b1"])
    told = messenger["alice/a1"].take()
    assert (told["status"], told["reason"]) == answer
    assert messenger.core.scheduler.pending_timers == 0


def test_a_message_to_a_user_with_several_devices_goes_to_each_and_is_answered_at_once():
    messenger = Messenger("alice/a1", "bob/b1", "bob/b2", "bob/b3", "carol/c1")
    answer = messenger["alice/a1"].request("message", "/users/bob", {"text": "hi"})
    assert (answer["status"], answer["reason"]) == (200, "message sent to 3 peers")
    for name in ("bob/b1", "bob/b2", "bob/b3"):
        (request,) = messenger[name].take_all()
        assert request["data"] == {"text": "hi"}
        messenger[name].respond(request, 486)
    assert messenger.who_got_something() == []


@pytest.mark.parametrize(
    ("path", "recipients"),
    [
        ("/users/alice", ["alice/a2"]),
        ("/users/alice/a1", ["alice/a1"]),
        ("/users/alice/a2", ["alice/a2"]),
    ],
)
def test_a_message_to_oneself_goes_to_the_other_devices_unless_a_device_is_named(path, recipients):
    messenger = Messenger("alice/a1", "alice/a2")
    messenger["alice/a1"].start_request("message", path)
    assert messenger.recipients() == recipients


@pytest.mark.parametrize(
    "path", ["/users/carol", "/users/bob/b9", "/users/alice", "/users/bob%20", "/users/BOB"]
)
def test_a_message_to_nobody_is_answered_404(path):
    messenger = Messenger("alice/a1", "bob/b1")
    answer = messenger["alice/a1"].request("message", path)
    assert (answer["status"], answer["reason"]) == (404, "peer not found")
    assert messenger.who_got_something() == []


def test_a_username_is_percent_decoded():
    messenger = Messenger("alice/a1", "bob@example.org/b1")
    messenger["alice/a1"].start_request("message", "/users/bob%40example.org")
    assert messenger.who_got_something() == ["bob@example.org/b1"]


@pytest.mark.parametrize(
    ("path", "recipients"),
    [("/users/bob", ["bob/b1", "bob/b2"]), ("/users/bob/b2", ["bob/b2"]), ("/users/carol", [])],
)
def test_a_notification_is_passed_on_as_a_notification_and_never_answered(path, recipients):
    messenger = Messenger("alice/a1", "bob/b1", "bob/b2")
    messenger["alice/a1"].notify("message", path, {"typing": True})
    sender = {"username": "alice", "uuid": "a1"}
    for name in recipients:
        assert messenger[name].take_all() == [
            {"method": "message", "data": {"typing": True}, "sender": sender}
        ]
    assert messenger.who_got_something() == []
    assert messenger.core.scheduler.pending_timers == 0


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "/users/bob"),
        ("message", "/users"),
        ("message", "/users/bob/b1/x"),
        ("message", "/bob"),
    ],
)
def test_everything_else_goes_past_the_messenger(method, path):
    messenger = Messenger("alice/a1", "bob/b1")
    assert messenger["alice/a1"].request(method, path)["reason"] == "not found"
    assert messenger.who_got_something() == []


def test_the_path_below_the_mount_can_be_chosen():
    messenger = Messenger("alice/a1", "bob/b1", path="/:username/devices/:uuid")
    messenger["alice/a1"].start_request("message", "/users/bob/devices/b1")
    assert messenger.who_got_something() == ["bob/b1"]
    assert messenger["alice/a1"].request("message", "/users/bob")["reason"] == "not found"


def test_it_is_a_router_to_which_more_can_be_added():
    messenger = Messenger("alice/a1")
    assert isinstance(p2p_messenger(messenger), Router)


# on_offline


def test_on_offline_may_keep_the_message_and_reply():
    kept = []

    def keep(req, username):
        kept.append((username, req.data))
        req.reply(202, "kept")

    messenger = Messenger("alice/a1", on_offline=keep)
    answer = messenger["alice/a1"].request("message", "/users/bob", {"text": "hi"})
    assert (answer["status"], answer["reason"]) == (202, "kept")
    assert kept == [("bob", {"text": "hi"})]
    assert messenger.core.framework.errors == []


def test_an_on_offline_that_does_not_reply_leaves_it_at_404():
    messenger = Messenger("alice/a1", on_offline=lambda req, username: None)
    assert messenger["alice/a1"].request("message", "/users/bob")["reason"] == "peer not found"


@pytest.mark.parametrize("path", ["/users/bob/b9", "/users/alice", "/users/alice/a9", "/users/bob"])
def test_on_offline_is_not_called_for_a_user_who_is_there(path):
    called = []
    messenger = Messenger(
        "alice/a1", "bob/b1", on_offline=lambda req, username: called.append(username)
    )
    messenger["alice/a1"].start_request("message", path)
    assert called == []


def test_a_notification_to_somebody_offline_may_be_kept_too():
    kept = []
    messenger = Messenger(
        "alice/a1", on_offline=lambda req, username: kept.append(req.is_notification)
    )
    messenger["alice/a1"].notify("message", "/users/bob")
    assert kept == [True]
    assert messenger.who_got_something() == []


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
def test_options_that_mean_nothing_are_refused_at_once(options, problem):
    with pytest.raises(UsageError, match=problem):
        p2p_messenger(None, **options)


# on_offline, for what was sent in vain


class Store:
    """An ``on_offline`` that keeps what it is given, and does as it is told."""

    def __init__(self, reply=(202, "kept"), error=None):
        self.kept = []
        self._reply = reply
        self._error = error

    def __call__(self, req, username):
        self.kept.append((username, req.sender["uuid"], req.data))
        if self._error is not None:
            raise self._error
        if self._reply is not None:
            req.reply(*self._reply)


def status_and_reason(answer):
    return answer["status"], answer["reason"]


@pytest.mark.parametrize("path", ["/users/bob", "/users/bob/b1"])
def test_a_message_whose_only_recipient_leaves_without_answering_is_offered(path):
    store = Store()
    messenger = Messenger("alice/a1", "bob/b1", on_offline=store)
    messenger["alice/a1"].start_request("message", path, {"text": "hi"})
    assert store.kept == []
    messenger["bob/b1"].drop()
    (answer,) = messenger["alice/a1"].take_all()
    assert status_and_reason(answer) == (202, "kept")
    assert store.kept == [("bob", "a1", {"text": "hi"})]
    assert messenger.left_behind() == NOTHING


def test_a_recipient_whose_link_is_closing_already_counts_as_gone():
    store = Store()
    messenger = Messenger("alice/a1", "bob/b1", on_offline=store)
    bob = messenger["bob/b1"]
    # Taken off the list between being found and being sent to, as another thread may do.
    messenger.peers = lambda *who: [bob.peer] if not store.kept and bob.peer.online else []
    bob.link.send = lambda payload, id=None: bob.drop()
    answer = messenger["alice/a1"].request("message", "/users/bob")
    assert status_and_reason(answer) == (202, "kept")
    assert len(store.kept) == 1


def test_when_on_offline_does_not_reply_the_410_goes_to_the_sender():
    store = Store(reply=None)
    messenger = Messenger("alice/a1", "bob/b1", on_offline=store)
    messenger["alice/a1"].start_request("message", "/users/bob")
    messenger["bob/b1"].drop()
    (answer,) = messenger["alice/a1"].take_all()
    assert status_and_reason(answer) == (410, "peer offline")
    assert len(store.kept) == 1


@pytest.mark.parametrize("error", [ZeroDivisionError("oops"), SystemExit()], ids=repr)
def test_when_on_offline_fails_then_the_sender_is_told_500(error, caplog):
    messenger = Messenger("alice/a1", "bob/b1", on_offline=Store(error=error))
    messenger["alice/a1"].start_request("message", "/users/bob")
    if isinstance(error, Exception):
        messenger["bob/b1"].drop()
        assert "oops" in caplog.text
    else:
        with pytest.raises(SystemExit):
            messenger["bob/b1"].drop()
    (answer,) = messenger["alice/a1"].take_all()
    assert status_and_reason(answer) == (500, "internal server error")


def test_an_error_after_the_reply_of_on_offline_does_not_answer_twice(caplog):
    def keep(req, username):
        req.reply(202, "kept")
        raise ZeroDivisionError("oops")

    messenger = Messenger("alice/a1", "bob/b1", on_offline=keep)
    messenger["alice/a1"].start_request("message", "/users/bob")
    messenger["bob/b1"].drop()
    (answer,) = messenger["alice/a1"].take_all()
    assert status_and_reason(answer) == (202, "kept")
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
    assert status_and_reason(told) == answer
    assert store.kept == []
    assert messenger.left_behind() == NOTHING


def test_with_on_offline_the_responses_are_relayed_as_without():
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


def test_a_message_to_several_devices_without_a_report_is_not_offered_when_they_leave():
    store = Store()
    messenger = Messenger("alice/a1", "bob/b1", "bob/b2", on_offline=store)
    messenger["alice/a1"].start_request("message", "/users/bob")
    messenger["bob/b1"].drop()
    messenger["bob/b2"].drop()
    (answer,) = messenger["alice/a1"].take_all()
    assert status_and_reason(answer) == (200, "message sent to 2 peers")
    assert store.kept == []
    assert messenger.left_behind() == NOTHING


def test_a_message_is_offered_even_when_its_sender_has_left_before():
    store = Store()
    messenger = Messenger("alice/a1", "bob/b1", on_offline=store)
    messenger["alice/a1"].start_request("message", "/users/bob")
    messenger["alice/a1"].drop()
    messenger["bob/b1"].drop()
    assert [username for username, _, _ in store.kept] == ["bob"]
    assert messenger.left_behind() == NOTHING


def test_a_message_that_was_given_up_is_not_offered_any_more():
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
    assert status_and_reason(answer) == (504, "no answer")
    assert store.kept == []


class PatientScheduler(FakeScheduler):
    """Runs what is spawned when it is told to: outside of what spawned it."""

    def __init__(self):
        super().__init__()
        self._spawned = []

    def spawn(self, function, *args):
        postpone(self._spawned)(function, *args)

    def run_spawned(self):
        while self._spawned:
            function, *args = self._spawned.pop(0)
            function(*args)


def test_on_offline_runs_in_contexts_of_the_sender_which_are_torn_down_with_it():
    app = make_app()
    protoo = Protoo(app)
    journal = []

    def keep(req, username):
        journal.append(f"keep for {username} in the session of {session['username']}")
        req.reply(202, "kept")

    app.teardown_appcontext(lambda exc: journal.append("teardown"))
    protoo.use("/users", p2p_messenger(protoo, on_offline=keep))
    scheduler = PatientScheduler()
    application = app.extensions["protoo"].open(scheduler)
    alice, bob = join(app, "alice", "a1"), join(app, "bob", "b1")
    assert application.runtime.scheduler is scheduler
    alice.receive(b'{"method": "message", "path": "/users/bob", "id": 1}')
    link = bob.peer.link
    journal.clear()
    application.directory.release(bob.peer, link, 1006)
    scheduler.run_spawned()
    assert journal == ["teardown", "keep for bob in the session of alice", "teardown"]
    assert alice.peer.link.take()["status"] == 202
    alice.closed(1006)


# carbons

ALICE = {"username": "alice", "uuid": "a1"}


def carbon(data, **to):
    return {"method": "message", "data": {**data, "carbon": True, "to": to}, "sender": ALICE}


@pytest.mark.parametrize("kind", ["request", "notification"])
@pytest.mark.parametrize("report", [None, "first", "all"])
@pytest.mark.parametrize(
    ("path", "to"),
    [
        ("/users/bob", {"username": "bob"}),
        ("/users/bob/b1", {"username": "bob", "uuid": "b1"}),
        ("/users/carol", {"username": "carol"}),
        ("/users/alice/a1", {"username": "alice", "uuid": "a1"}),
    ],
    ids=["user", "device", "user-with-one-device", "oneself"],
)
def test_the_senders_other_devices_get_a_copy(path, to, report, kind):
    names = ["alice/a1", "alice/a2", "alice/a3", "bob/b1", "bob/b2", "carol/c1"]
    messenger = Messenger(*names, carbons=True, report=report)
    send = messenger["alice/a1"]
    (send.start_request if kind == "request" else send.notify)("message", path, {"text": "hi"})
    for name in ("alice/a2", "alice/a3"):
        assert messenger[name].take_all() == [carbon({"text": "hi"}, **to)]
    for name in ("bob/b1", "bob/b2", "carol/c1"):
        for message in messenger[name].take_all():
            assert message["data"] == {"text": "hi"}


@pytest.mark.parametrize(
    ("path", "messages", "copies"),
    [("/users/alice", ["a2", "a3"], []), ("/users/alice/a2", ["a2"], ["a3"])],
)
def test_who_receives_the_message_itself_gets_no_copy(path, messages, copies):
    messenger = Messenger("alice/a1", "alice/a2", "alice/a3", carbons=True)
    messenger["alice/a1"].notify("message", path)
    got = {name: client.take_all() for name, client in messenger.clients.items()}
    carbons = {name: [m["data"].get("carbon", False) for m in found] for name, found in got.items()}
    assert carbons == {
        "alice/a1": [],
        **{f"alice/{uuid}": [False] for uuid in messages},
        **{f"alice/{uuid}": [True] for uuid in copies},
    }


def test_a_message_cannot_forge_whom_its_copy_says_it_went_to():
    messenger = Messenger("alice/a1", "alice/a2", "bob/b1", carbons=True)
    forged = {"carbon": False, "to": {"username": "carol"}, "text": "hi"}
    messenger["alice/a1"].notify("message", "/users/bob", forged)
    assert messenger["alice/a2"].take_all() == [carbon({"text": "hi"}, username="bob")]


def test_copies_are_written_once_and_leave_the_message_as_it_is():
    messenger = Messenger("alice/a1", "alice/a2", "alice/a3", "bob/b1", carbons=True)
    messenger["alice/a1"].start_request("message", "/users/bob", {"text": "hi"})
    (first,), (second,) = (messenger[name].link.payloads for name in ("alice/a2", "alice/a3"))
    assert first is second
    assert messenger["bob/b1"].take()["data"] == {"text": "hi"}


def test_without_the_option_nobody_gets_a_copy():
    messenger = Messenger("alice/a1", "alice/a2", "bob/b1")
    messenger["alice/a1"].start_request("message", "/users/bob")
    assert messenger.who_got_something() == ["bob/b1"]


@pytest.mark.parametrize("kind", ["request", "notification"])
@pytest.mark.parametrize(
    ("reply", "copies"),
    [((202, "kept"), ["alice/a2"]), ((507, "full"), []), (None, [])],
    ids=["kept", "refused", "silent"],
)
def test_a_message_to_nobody_is_copied_if_on_offline_took_it(reply, copies, kind):
    messenger = Messenger("alice/a1", "alice/a2", carbons=True, on_offline=Store(reply))
    alice = messenger["alice/a1"]
    (alice.start_request if kind == "request" else alice.notify)("message", "/users/bob")
    assert messenger.recipients() == copies


def test_a_message_that_is_answered_404_is_not_copied():
    messenger = Messenger("alice/a1", "alice/a2", "bob/b1", carbons=True)
    assert messenger["alice/a1"].request("message", "/users/carol")["status"] == 404
    assert messenger["alice/a1"].request("message", "/users/bob/b9")["status"] == 404
    assert messenger.who_got_something() == []


def test_a_message_that_was_sent_in_vain_and_then_kept_is_copied_once():
    messenger = Messenger("alice/a1", "alice/a2", "bob/b1", carbons=True, on_offline=Store())
    messenger["alice/a1"].start_request("message", "/users/bob", {"text": "hi"})
    messenger["bob/b1"].drop()
    assert messenger["alice/a1"].take()["status"] == 202
    assert messenger["alice/a2"].take_all() == [carbon({"text": "hi"}, username="bob")]


def test_a_notification_that_cannot_be_written_reaches_nobody():
    messenger = Messenger("alice/a1", "alice/a2", "bob/b1", "bob/b2", carbons=True)
    alice = messenger["alice/a1"]
    spoil_requests(alice)
    alice.notify("message", "/users/bob")
    (error,) = messenger.core.framework.errors
    assert isinstance(error, Unsendable)
    assert messenger.who_got_something() == []
