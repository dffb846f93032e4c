"""presence: events that overtake each other, and threads."""

from __future__ import annotations

import functools
import threading

from tests.fakes import Core
from tests.features.contention import PATIENCE, ContendedLock

from .presence_sites import (
    PresenceSite,
    bob_online,
    publish,
    state_of,
    subscribe,
    take_states,
)


def test_a_subscriber_that_left_while_allow_was_blocking_leaves_nothing_behind():
    site = PresenceSite(lambda peer, username: peer.close() is None)
    alice = site.connect("alice/a1")
    alice.start_request("subscribe", "/presence/bob")
    assert site.sizes() == [(0, 0, 0)]


def test_a_device_that_is_back_before_its_offline_is_told_has_not_left():
    site = PresenceSite()
    alice, bob = site.connect("alice/a1"), site.connect("bob/b1")
    subscribe(alice, "bob")
    publish(bob, status="busy")
    take_states(alice)
    # A listener of the site runs before that of presence. The device comes back meanwhile.
    site.listeners.insert(0, ("peer_offline", lambda peer: site.connect("bob/b1")))
    bob.drop()
    assert take_states(alice) == []
    assert subscribe(alice, "bob") == bob_online(status="busy")


def test_a_user_is_online_before_the_event_and_watchers_are_notified_once():
    site = PresenceSite()
    alice, carol = site.connect("alice/a1"), site.connect("carol/c1")
    subscribe(alice, "bob")
    site.listeners.insert(0, ("peer_online", lambda peer: carol.take_all()))
    site.listeners.insert(0, ("peer_online", lambda peer: subscribe(carol, "bob")))
    site.connect("bob/b1")
    assert take_states(alice) == [bob_online()]
    assert take_states(carol) == []


def test_a_closed_device_publishes_nothing():
    core = Core()
    core.router.method("publish", lambda req, next: (req.peer.close(), next()))
    site = PresenceSite(core=core)
    alice, bob = site.connect("alice/a1"), site.connect("bob/b1")
    subscribe(alice, "bob")
    bob.start_request("publish", "/presence", {"status": "busy"})
    assert take_states(alice) == [state_of("bob", since=1000.0)]
    assert subscribe(alice, "bob") == state_of("bob", since=1000.0)


def test_in_threads_the_last_notification_is_true_and_nothing_is_left(threads):
    site = PresenceSite()
    watcher = site.connect("watcher/w1")
    for username in ("bob", "carol"):
        subscribe(watcher, username)

    def come_and_go(username, uuid):
        for n in range(100):
            client = site.connect(f"{username}/{uuid}")
            client.start_request("subscribe", "/presence/bob")
            client.start_request("publish", "/presence", {"status": f"{uuid} {n}"})
            client.drop()

    threads(
        [
            functools.partial(come_and_go, username, uuid)
            for username in ("bob", "carol")
            for uuid in ("d1", "d2", "d3")
        ]
    )
    told = {state["username"]: state for state in take_states(watcher)}
    for username in ("bob", "carol"):
        assert told[username] == subscribe(watcher, username) == state_of(username, since=1000.0)
    assert site.sizes() == [(2, 2, 1)]


def test_a_newer_notification_does_not_overtake_an_older_one_in_another_thread():
    site = PresenceSite()
    newer_has_come = threading.Event()
    site.core.scheduler.lock = lambda: ContendedLock(newer_has_come)
    alice, first, second = (site.connect(name) for name in ("alice/a1", "bob/b1", "bob/b2"))
    subscribe(alice, "bob")
    send = alice.link.send
    newer = threading.Thread(target=publish, args=(second,), kwargs={"status": "newer"})

    def send_slowly(payload, id=None):
        alice.link.send = send_and_tell
        newer.start()
        assert newer_has_come.wait(PATIENCE)
        return send(payload)

    def send_and_tell(payload, id=None):
        sent = send(payload)
        newer_has_come.set()
        return sent

    alice.link.send = send_slowly
    publish(first, status="older")
    newer.join()
    assert [state["status"] for state in take_states(alice)] == ["older", "newer"]


def test_in_threads_an_app_has_one_agent(threads):
    for _ in range(20):
        site = PresenceSite()
        clients = [site.connect(f"alice/{n}") for n in range(4)]
        site.services().clear()
        threads([functools.partial(subscribe, client, "bob") for client in clients])
        assert site.sizes() == [(4, 1, 4)]
