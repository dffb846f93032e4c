"""presence: many watchers, limits, and nothing left behind."""

from __future__ import annotations

import gc
import json
import time
import weakref

import pytest

from protoo_flask import Protoo
from protoo_flask.core.errors import UsageError
from protoo_flask.features.presence.states import MAX_LAST_SEEN
from protoo_flask.middleware import presence
from protoo_flask.testing import finish
from tests.joining import make_app

from .presence_sites import (
    PresenceSite,
    bob_online,
    everybody,
    state_of,
    subscribe,
    take_states,
)


def test_a_notification_to_a_thousand_watchers_is_serialized_once():
    site = PresenceSite()
    watchers = [site.connect(f"watcher{n}/w") for n in range(1000)]
    for watcher in watchers:
        subscribe(watcher, "bob")
    site.connect("bob/b1")
    payloads = [payload for watcher in watchers for payload in watcher.link.payloads]
    assert len(payloads) == 1000
    assert len({id(payload) for payload in payloads}) == 1
    assert json.loads(payloads[0]) == {"method": "presence", "data": bob_online()}


def test_subscribers_that_have_gone_leave_nothing_behind():
    site = PresenceSite()
    carol = site.connect("carol/c1")
    subscribe(carol, "bob")
    before = site.sizes()
    assert before == [(1, 1, 1)]
    for n in range(1000):
        client = site.connect(f"alice/{n}")
        for username in ("bob", "alice", f"nobody{n}"):
            subscribe(client, username)
        client.drop() if n % 2 else client.peer.close()
    assert site.sizes() == before
    agent = site.agent()
    # One state for Carol, and one for Alice, the user seen last.
    assert len(agent._states) == 2


def test_a_subscriber_that_went_offline_has_no_subscriptions_when_back():
    site = PresenceSite()
    alice = site.connect("alice/a1")
    subscribe(alice, "bob")
    alice.drop()
    again = site.connect("alice/a1")
    site.connect("bob/b1")
    assert take_states(again) == []


def test_the_number_of_users_a_peer_watches_is_limited():
    site = PresenceSite(max_subscriptions=2)
    alice = site.connect("alice/a1")
    subscribe(alice, "bob")
    subscribe(alice, "carol")
    answer = alice.request("subscribe", "/presence/dave")
    assert answer["status"] == 429
    assert answer["reason"] == "you watch 2 users already, which is the limit"
    assert subscribe(alice, "bob") == state_of("bob")
    assert subscribe(site.connect("alice/a2"), "dave") == state_of("dave")
    alice.request("unsubscribe", "/presence/bob")
    assert subscribe(alice, "dave") == state_of("dave")


def test_by_default_a_peer_watches_at_most_a_thousand_users():
    alice = PresenceSite().connect("alice/a1")
    for n in range(1000):
        subscribe(alice, f"user{n}")
    assert alice.request("subscribe", "/presence/bob")["status"] == 429


@pytest.mark.parametrize("limit", [0, -1, True, 1.5, "1000", None])
def test_a_limit_that_is_not_a_positive_integer_is_refused(limit):
    with pytest.raises(UsageError, match="an integer of at least 1, not"):
        PresenceSite(max_subscriptions=limit)


def test_only_the_users_seen_last_are_remembered():
    site = PresenceSite()
    for n in range(MAX_LAST_SEEN + 1):
        site.core.connect(f"user{n}", "u").drop()
    agent = site.agent()
    assert len(agent._states) == MAX_LAST_SEEN
    alice = site.connect("alice/a1")
    assert subscribe(alice, "user0")["since"] is None
    assert subscribe(alice, "user1")["since"] == 1000.0


# Apps


def test_apps_that_share_a_protoo_have_separate_presence():
    protoo = Protoo()
    protoo.use("/presence", presence(protoo, everybody))
    here, there = make_app("here"), make_app("there")
    for app in (here, there):
        protoo.init_app(app)
    alice = protoo.test_client(here.test_client(), username="alice")
    stranger = protoo.test_client(there.test_client(), username="alice")
    for client in (alice, stranger):
        assert client.request("subscribe", "/presence/bob").data == state_of("bob")
    bob = protoo.test_client(here.test_client(), username="bob")
    state = alice.expect_notification("presence").data
    assert (state["username"], state["online"]) == ("bob", True)
    assert abs(state["since"] - time.time()) < 60
    bob.notify("publish", "/presence", {"status": "busy"})
    assert alice.expect_notification("presence").data["status"] == "busy"
    stranger.expect_nothing()
    for app in (here, there):
        finish(app)


def test_the_presence_of_a_closed_app_is_freed():
    site = PresenceSite()
    alice, bob = site.connect("alice/a1"), site.connect("bob/b1")
    subscribe(alice, "bob")
    site.core.application.close()
    agent = weakref.ref(site.agent())
    del alice, bob, site
    gc.collect()
    assert agent() is None
