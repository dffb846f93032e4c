"""presence: devices that lose their connection for a while."""

from __future__ import annotations

from tests.fakes import Core

from .presence_sites import (
    PresenceSite,
    bob_online,
    publish,
    state_of,
    subscribe,
    take_states,
)


def test_a_device_back_within_the_grace_period_was_never_offline():
    site = PresenceSite(core=Core(grace_period=10))
    alice, bob = site.connect("alice/a1"), site.connect("bob/b1")
    publish(bob, status="busy")
    assert subscribe(alice, "bob") == bob_online(status="busy")
    bob.drop()
    site.advance(9)
    assert subscribe(alice, "bob") == bob_online(status="busy")
    site.connect("bob/b1")
    site.advance(60)
    assert subscribe(alice, "bob") == bob_online(status="busy")
    assert take_states(alice) == []


def test_a_device_is_offline_after_its_grace_period():
    site = PresenceSite(core=Core(grace_period=10))
    alice, bob = site.connect("alice/a1"), site.connect("bob/b1")
    publish(bob, status="busy")
    subscribe(alice, "bob")
    bob.drop()
    site.advance(9)
    assert take_states(alice) == []
    site.advance(1)
    assert take_states(alice) == [state_of("bob", since=1010.0)]


def test_a_device_within_its_grace_period_still_counts():
    site = PresenceSite(core=Core(grace_period=10))
    alice, first, _ = (site.connect(name) for name in ("alice/a1", "bob/b1", "bob/b2"))
    subscribe(alice, "bob")
    first.drop()
    assert subscribe(alice, "bob")["devices"] == 2
    site.advance(10)
    assert take_states(alice) == [bob_online()]


def test_a_device_disconnected_by_the_site_is_offline_at_once():
    site = PresenceSite(core=Core(grace_period=10))
    alice, bob = site.connect("alice/a1"), site.connect("bob/b1")
    subscribe(alice, "bob")
    bob.peer.close()
    assert take_states(alice) == [state_of("bob", since=1000.0)]


def test_a_subscriber_within_its_grace_period_gets_the_notifications_later():
    site = PresenceSite(core=Core(grace_period=10))
    alice = site.connect("alice/a1")
    subscribe(alice, "bob")
    alice.drop()
    bob = site.connect("bob/b1")
    publish(bob, status="busy")
    again = site.connect("alice/a1")
    assert take_states(again) == [bob_online(), bob_online(status="busy")]
    site.advance(60)
    publish(bob, status="away")
    assert [state["status"] for state in take_states(again)] == ["away"]


def test_a_subscription_ends_with_the_grace_period_of_the_subscriber():
    site = PresenceSite(core=Core(grace_period=10))
    alice = site.connect("alice/a1")
    subscribe(alice, "bob")
    alice.drop()
    assert site.sizes() == [(1, 1, 1)]
    site.advance(10)
    assert site.sizes() == [(0, 0, 0)]
    again = site.connect("alice/a1")
    site.connect("bob/b1")
    assert take_states(again) == []
