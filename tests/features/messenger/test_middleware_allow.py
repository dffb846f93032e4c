"""p2p_messenger(allow=...): the application decides who may write to whom."""

from __future__ import annotations

import pytest
from flask import abort
from flask import session as flask_session

from protoo_flask import Protoo, Reject
from protoo_flask.middleware import p2p_messenger
from protoo_flask.testing import finish
from tests.fakes import Core
from tests.features.sites import status_line
from tests.joining import make_app

from .messengers import NOTHING, Messenger, Store

REFUSED = (403, "you may not write to this user")

#: Everything that could tell a refused sender, or others, that somebody is there.
EVERY_OPTION = pytest.mark.parametrize(
    "options",
    [{}, {"report": "first"}, {"report": "all"}, {"carbons": True}],
    ids=["plain", "first", "all", "carbons"],
)


def nobody(peer, username):
    return False


class Friends:
    """An ``allow`` for pairs of usernames, that keeps its arguments."""

    def __init__(self, *pairs):
        self.pairs = pairs
        self.asked = []

    def __call__(self, peer, username):
        self.asked.append((peer, username))
        return (peer.username, username) in self.pairs


def test_without_allow_everybody_may_write_to_everybody():
    messenger = Messenger("alice/a1", "bob/b1")
    messenger["alice/a1"].start_request("message", "/users/bob")
    messenger["bob/b1"].start_request("message", "/users/alice")
    assert messenger.take_recipients() == ["alice/a1", "bob/b1"]


def test_allow_gets_the_writing_peer_and_the_addressed_user():
    friends = Friends(("alice", "bob"))
    messenger = Messenger("alice/a1", "bob/b1", "carol/c1", allow=friends)
    alice = messenger["alice/a1"]
    alice.start_request("message", "/users/bob", {"text": "hi"})
    assert messenger["bob/b1"].take()["data"] == {"text": "hi"}
    assert status_line(alice.request("message", "/users/carol")) == REFUSED
    assert friends.asked == [(alice.peer, "bob"), (alice.peer, "carol")]
    assert messenger.take_recipients() == []


def test_permission_has_a_direction():
    messenger = Messenger("alice/a1", "bob/b1", allow=Friends(("alice", "bob")))
    assert status_line(messenger["bob/b1"].request("message", "/users/alice")) == REFUSED
    messenger["alice/a1"].start_request("message", "/users/bob")
    assert messenger.take_recipients() == ["bob/b1"]


@pytest.mark.parametrize(
    ("path", "username"),
    [
        ("/users/bob", "bob"),
        ("/users/bob/b1", "bob"),
        ("/users/%62ob/b1", "bob"),
        ("/users/b%C3%B6b", "böb"),
        ("/users/a%2Fb", "a/b"),
        ("/users/7", "7"),
        ("/users/BOB", "BOB"),
        ("/USERS/bob/", "bob"),
        ("/users/%20bob", " bob"),
    ],
)
def test_allow_gets_the_username_as_the_messenger_looks_for_it(path, username):
    friends = Friends()
    messenger = Messenger("alice/a1", "bob/b1", allow=friends)
    assert status_line(messenger["alice/a1"].request("message", path)) == REFUSED
    assert friends.asked == [(messenger["alice/a1"].peer, username)]
    assert messenger.take_recipients() == []


@EVERY_OPTION
@pytest.mark.parametrize("path", ["/users/bob", "/users/bob/b1", "/users/bob/b9", "/users/nobody"])
def test_a_refused_sender_cannot_tell_who_is_there(path, options):
    store = Store()
    messenger = Messenger(
        *("alice/a1", "alice/a2", "bob/b1", "bob/b2"), allow=nobody, on_offline=store, **options
    )
    answer = messenger["alice/a1"].request("message", path)
    assert status_line(answer) == REFUSED
    assert answer["data"] == {}
    assert messenger.take_recipients() == []
    assert store.kept == []
    assert messenger.left_behind() == NOTHING


@EVERY_OPTION
@pytest.mark.parametrize("path", ["/users/bob", "/users/bob/b1", "/users/nobody"])
def test_a_refused_notification_goes_nowhere(path, options):
    store = Store()
    messenger = Messenger(
        *("alice/a1", "alice/a2", "bob/b1"), allow=nobody, on_offline=store, **options
    )
    messenger["alice/a1"].notify("message", path)
    assert messenger.take_recipients() == []
    assert store.kept == []


@EVERY_OPTION
def test_an_allowed_message_is_delivered_as_without_allow(options):
    messenger = Messenger(
        *("alice/a1", "alice/a2", "bob/b1"), allow=Friends(("alice", "bob")), **options
    )
    messenger["alice/a1"].start_request("message", "/users/bob")
    messenger["bob/b1"].respond(messenger["bob/b1"].take(), 200, "got it")
    assert status_line(messenger["alice/a1"].take()) == (200, "got it")
    copies = messenger["alice/a2"].take_all()
    assert len(copies) == ("carbons" in options)


def test_an_allowed_message_to_an_absent_user_is_offered():
    store = Store()
    friends = Friends(("alice", "bob"))
    messenger = Messenger("alice/a1", "bob/b1", allow=friends, on_offline=store)
    alice = messenger["alice/a1"]
    alice.start_request("message", "/users/bob")
    messenger["bob/b1"].drop()
    assert status_line(alice.take()) == (202, "kept")
    assert status_line(alice.request("message", "/users/bob")) == (202, "kept")
    # Once for each message, and not again when the first one was offered.
    assert [username for _, username in friends.asked] == ["bob", "bob"]


@pytest.mark.parametrize("path", ["/users/alice", "/users/alice/a2", "/users/alice/a1"])
def test_allow_is_asked_about_the_senders_own_user_too(path):
    messenger = Messenger("alice/a1", "alice/a2", allow=nobody)
    assert status_line(messenger["alice/a1"].request("message", path)) == REFUSED
    assert messenger.take_recipients() == []


def reject(peer, username):
    raise Reject(402, "messages are for paying members")


def fail(peer, username):
    raise KeyError("no such table")


@pytest.mark.parametrize(
    ("allow", "answer"),
    [
        (reject, (402, "messages are for paying members")),
        (fail, (500, "internal server error")),
        (lambda peer, username: None, REFUSED),
        (lambda peer, username: [], REFUSED),
    ],
)
def test_a_refusal_or_error_of_allow_is_the_answer(allow, answer):
    messenger = Messenger("alice/a1", "bob/b1", allow=allow)
    assert status_line(messenger["alice/a1"].request("message", "/users/bob")) == answer
    messenger["alice/a1"].notify("message", "/users/bob")
    assert messenger.take_recipients() == []


def test_a_message_that_times_out_in_allow_is_not_delivered():
    core = Core(response_timeout=60)

    def think(peer, username):
        core.scheduler.advance(61)
        return True

    messenger = Messenger("alice/a1", "bob/b1", core=core, allow=think, on_offline=Store())
    for path in ("/users/bob", "/users/nobody"):
        assert messenger["alice/a1"].request("message", path)["status"] == 504
    assert messenger.take_recipients() == []
    assert core.framework.errors == []


@pytest.mark.parametrize("online", [True, False])
def test_allow_runs_in_the_flask_contexts_of_the_message(online):
    app, protoo = make_app(), Protoo()

    def allow(peer, username):
        if flask_session["username"] != "alice":
            abort(403, "only Alice")
        return True

    protoo.use("/users", p2p_messenger(protoo, allow=allow))
    protoo.init_app(app)
    alice, mallory = [protoo.test_client(username=name) for name in ("alice", "mallory")]
    if online:
        protoo.test_client(username="bob")
    refusal = mallory.request("message", "/users/bob")
    assert (refusal.status, refusal.reason) == (403, "only Alice")
    sent = alice.send("message", "/users/bob")
    assert [response.status for response in sent.responses] == ([] if online else [404])
    finish(app)
