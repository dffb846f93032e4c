"""Presence: the memory of subscriptions, and the notifications about a user that flaps."""

from __future__ import annotations

import gc

import pytest

from protoo_flask.core.names import MAX_NAME_LENGTH
from protoo_flask.features.presence import pace as pace_module
from protoo_flask.features.presence.agent import SIZE_PER_SUBSCRIPTION
from protoo_flask.features.presence.watchers import size_of_subscription
from tests.features.sites import status_line

from .presence_sites import PresenceSite, publish, state_of, subscribe, take_states


def make(*names, **options):
    """Return a site with these clients."""
    site = PresenceSite(**options)
    for name in names:
        site.connect(name)
    return site


def ask(client, username):
    return status_line(client.request("subscribe", f"/presence/{username}"))


@pytest.mark.parametrize("length", [MAX_NAME_LENGTH - 1, MAX_NAME_LENGTH])
def test_a_name_up_to_the_limit_may_be_watched(length):
    site = make("alice/a1")
    assert ask(site["alice/a1"], "x" * length) == (200, "subscribed")


def test_a_longer_name_is_answered_414_and_not_asked_about():
    asked = []
    site = make("alice/a1", allow=lambda peer, username: asked.append(username))
    answer = ask(site["alice/a1"], "x" * (MAX_NAME_LENGTH + 1))
    assert answer == (414, "a username has at most 256 characters")
    assert asked == []
    assert site.sizes() in ([], [(0, 0, 0)])


def long_name(number):
    return f"{number:03}" + "%F0%9F%98%80" + (MAX_NAME_LENGTH - 4) * "x"


def test_the_names_that_a_peer_watches_may_not_all_be_very_long():
    site = make("alice/a1", "alice/a2", max_subscriptions=100)
    size = size_of_subscription(f"000\U0001f600{(MAX_NAME_LENGTH - 4) * 'x'}")
    fitting = 100 * SIZE_PER_SUBSCRIPTION // size
    assert fitting == 31
    alice = site["alice/a1"]
    for number in range(fitting):
        assert ask(alice, long_name(number)) == (200, "subscribed")
    refusal = f"you watch {fitting} users already, with very long names"
    assert ask(alice, long_name(fitting)) == (429, refusal)
    assert ask(alice, long_name(0)) == (200, "subscribed")
    # Another device has a limit of its own.
    assert ask(site["alice/a2"], long_name(fitting)) == (200, "subscribed")
    assert alice.request("unsubscribe", "/presence/" + long_name(0))["status"] == 200
    assert ask(alice, long_name(fitting)) == (200, "subscribed")


def test_a_peer_may_watch_as_many_of_the_longest_names_if_they_are_ascii():
    site = make("alice/a1", max_subscriptions=100)
    for number in range(100):
        name = f"{number:03}" + (MAX_NAME_LENGTH - 3) * "x"
        assert ask(site["alice/a1"], name) == (200, "subscribed")


def test_the_one_user_that_a_peer_watches_may_have_any_name():
    site = make("alice/a1", max_subscriptions=1)
    assert ask(site["alice/a1"], long_name(0)) == (200, "subscribed")


def test_nothing_is_kept_of_the_sizes_of_peers_that_have_left():
    site = make("alice/a1", "bob/b1")
    for client in site.clients.values():
        subscribe(client, "carol")
        subscribe(client, "dave")
    site["alice/a1"].leave()
    site["bob/b1"].request("unsubscribe", "/presence/carol")
    site["bob/b1"].request("unsubscribe", "/presence/dave")
    assert site.agent()._watchers._sizes == {}


@pytest.fixture
def few(monkeypatch):
    """At most four notifications at once, and two in a second."""
    monkeypatch.setattr(pace_module, "BURST", 4)
    monkeypatch.setattr(pace_module, "RATE", 2.0)


def test_a_user_that_changes_too_often_is_told_of_later_in_its_latest_state(few):
    site = make("alice/a1", "bob/b1")
    alice, bob = site["alice/a1"], site["bob/b1"]
    subscribe(alice, "bob")
    for n in range(20):
        assert publish(bob, status=f"{n}")["status"] == f"{n}"
    assert [state["status"] for state in take_states(alice)] == ["0", "1", "2", "3"]
    # The answers are never late.
    assert subscribe(alice, "bob")["status"] == "19"
    site.advance(0.6)
    assert [state["status"] for state in take_states(alice)] == ["19"]
    publish(bob, status="20")
    assert take_states(alice) == []
    bob.leave()
    site.advance(0.6)
    assert take_states(alice) == [state_of("bob", since=site.core.scheduler.now() - 0.6)]
    site.advance(60)
    assert take_states(alice) == []
    assert site.pending_timers == 0


def test_a_user_that_comes_and_goes_too_often_does_not_delay_another(few):
    site = make("alice/a1", "carol/c1")
    alice = site["alice/a1"]
    subscribe(alice, "bob")
    subscribe(alice, "carol")
    for _ in range(20):
        site.connect("bob/b1").leave()
    assert len(take_states(alice)) == 4
    publish(site["carol/c1"], status="away")
    assert [state["username"] for state in take_states(alice)] == ["carol"]
    site.connect("bob/b1")
    site.advance(0.6)
    assert [state["online"] for state in take_states(alice)] == [True]


def test_the_watchers_of_several_late_users_are_all_told(few):
    site = make("alice/a1", "bob/b1", "carol/c1")
    alice = site["alice/a1"]
    for name in ("bob", "carol"):
        subscribe(alice, name)
    for name in ("bob", "carol"):
        for n in range(10 if name == "bob" else 7):
            publish(site[f"{name}/{name[0]}1"], status=f"{n}")
    take_states(alice)
    site.advance(0.6)
    told = {state["username"]: state["status"] for state in take_states(alice)}
    assert told == {"bob": "9", "carol": "6"}
    assert site.pending_timers == 0


def test_a_late_user_without_watchers_is_told_to_nobody(few):
    site = make("alice/a1", "bob/b1")
    alice, bob = site["alice/a1"], site["bob/b1"]
    subscribe(alice, "bob")
    for n in range(10):
        publish(bob, status=f"{n}")
    take_states(alice)
    alice.request("unsubscribe", "/presence/bob")
    site.advance(60)
    assert take_states(alice) == []
    assert (site.agent()._late, site.pending_timers) == (set(), 0)


def test_the_timer_of_late_users_does_not_keep_an_app_alive(few):
    site = make("alice/a1", "bob/b1")
    subscribe(site["alice/a1"], "bob")
    for n in range(10):
        publish(site["bob/b1"], status=f"{n}")
    scheduler = site.core.scheduler
    assert scheduler.pending_timers == 1
    del site
    gc.collect()
    scheduler.advance(60)
