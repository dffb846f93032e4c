"""presence(allow=...): the application decides which users a peer may watch."""

from __future__ import annotations

import threading

import pytest

from protoo_flask import Protoo, Reject
from protoo_flask.core.errors import UsageError
from protoo_flask.middleware import presence
from tests.fakes import Core

from .presence_sites import (
    PresenceSite,
    everybody,
    subscribe,
    take_states,
)


def test_allow_gets_the_peer_and_the_username():
    asked = []

    def allow(peer, username):
        asked.append((peer, username))
        return username == "bob"

    site = PresenceSite(allow)
    alice = site.connect("alice/a1")
    subscribe(alice, "bob")
    answer = alice.request("subscribe", "/presence/carol")
    assert (answer["status"], answer["reason"]) == (403, "you may not watch this user")
    assert answer["data"] == {}
    assert asked == [(alice.peer, "bob"), (alice.peer, "carol")]
    site.connect("carol/c1")
    assert take_states(alice) == []


def refuse_with_reject(peer, username):
    raise Reject(402, "presence is for paying members")


def fail(peer, username):
    raise KeyError("no such table")


@pytest.mark.parametrize(
    ("allow", "status", "reason"),
    [
        (refuse_with_reject, 402, "presence is for paying members"),
        (fail, 500, "internal server error"),
        (lambda peer, username: None, 403, "you may not watch this user"),
    ],
)
def test_a_refusal_or_error_of_allow_is_the_answer(allow, status, reason):
    site = PresenceSite(allow)
    alice = site.connect("alice/a1")
    answer = alice.request("subscribe", "/presence/bob")
    assert (answer["status"], answer["reason"]) == (status, reason)
    site.connect("bob/b1")
    assert take_states(alice) == []


@pytest.mark.parametrize("later", [refuse_with_reject, fail, lambda peer, username: False])
def test_an_answer_other_than_200_ends_an_older_subscription(later):
    answers = [everybody, later]
    site = PresenceSite(lambda peer, username: answers.pop(0)(peer, username))
    alice = site.connect("alice/a1")
    subscribe(alice, "bob")
    assert alice.request("subscribe", "/presence/bob")["status"] != 200
    site.connect("bob/b1")
    assert take_states(alice) == []


def test_a_subscribe_that_times_out_in_allow_makes_no_subscription():
    core = Core(response_timeout=60)

    def think(peer, username):
        core.scheduler.advance(61)
        return True

    site = PresenceSite(think, core=core)
    alice = site.connect("alice/a1")
    assert alice.request("subscribe", "/presence/bob")["status"] == 504
    site.connect("bob/b1")
    assert take_states(alice) == []
    assert core.framework.errors == []


def test_allow_is_called_without_the_lock():
    lock = threading.RLock()
    core = Core()
    core.scheduler.lock = lambda: lock
    free = []

    def try_in_another_thread():
        free.append(lock.acquire(blocking=False))
        if free[-1]:
            lock.release()

    def allow(peer, username):
        thread = threading.Thread(target=try_in_another_thread)
        thread.start()
        thread.join()
        return True

    subscribe(PresenceSite(allow, core=core).connect("alice/a1"), "bob")
    assert free == [True]


async def allow_later(peer, username):
    return True


@pytest.mark.parametrize("allow", [None, True, "friends", ["bob"]])
def test_an_allow_that_is_no_function_is_refused_with_an_example(allow):
    with pytest.raises(UsageError) as caught:
        PresenceSite(allow)
    message = str(caught.value)
    assert "allow(peer, username)" in message
    assert "lambda peer, username: True" in message
    assert message.endswith(f"got {allow!r}")


def test_a_coroutine_function_cannot_allow():
    with pytest.raises(UsageError, match="coroutine function"):
        PresenceSite(allow_later)


def test_allow_has_no_default():
    with pytest.raises(TypeError, match="allow"):
        presence(Protoo())
