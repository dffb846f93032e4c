"""A user who publishes all the time cannot have a slow watcher given up."""

from __future__ import annotations

from protoo_flask.features.missed_news import RETRY

from .presence_sites import PresenceSite, bob_online, publish, subscribe, take_states


def watch_bob():
    """Return a site in which Alice watches Bob, who is online, and reads too slowly for him."""
    site = PresenceSite()
    alice, bob = site.connect("alice/a1"), site.connect("bob/b1")
    subscribe(alice, "bob")
    alice.take_all()
    alice.link.refused.add("bob")
    return site, alice, bob


def test_states_count_in_the_share_of_the_user_and_the_latest_is_told_later():
    site, alice, bob = watch_bob()
    for n in range(5):
        publish(bob, note=f"note {n}")
    assert take_states(alice) == []
    site.advance(RETRY)
    assert take_states(alice) == []
    alice.link.refused.clear()
    site.advance(RETRY)
    assert take_states(alice) == [bob_online(note="note 4")]
    assert site.pending_timers == 0


def test_a_watcher_that_has_unsubscribed_is_told_nothing():
    site, alice, bob = watch_bob()
    publish(bob, note="away")
    alice.request("unsubscribe", "/presence/bob")
    alice.link.refused.clear()
    site.advance(RETRY)
    assert alice.take_all() == []
    assert site.pending_timers == 0
