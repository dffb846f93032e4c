"""presence: who may watch whom, what they are told, and that nothing is left behind."""

from __future__ import annotations

import functools
import gc
import json
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from protoo_flask import Protoo, Reject
from protoo_flask.core.errors import UsageError
from protoo_flask.core.routing.router import Router
from protoo_flask.features.presence.states import MAX_LAST_SEEN, MAX_NOTE_LENGTH, MAX_STATUS_LENGTH
from protoo_flask.middleware import presence
from protoo_flask.site.flask_framework import EVENTS
from protoo_flask.transport.threads.loop import ThreadLoop
from tests.fakes import Core, FakeScheduler
from tests.joining import join, make_app


def everybody(peer, username):
    return True


class Site:
    """A core whose presence is mounted at /presence; the time is the scheduler's."""

    def __init__(self, allow=everybody, *, core=None, **options):
        self.core = core or Core()
        self.listeners = []
        self.core.framework.on_event.append(self._tell)
        options.setdefault("now", self.core.scheduler.now)
        self.presence = presence(self, allow, **options)
        self.core.router.use("/presence", self.presence)

    def on(self, event, function):
        """Stand for the Protoo, of which presence asks nothing else."""
        self.listeners.append((EVENTS[event], function))

    def _tell(self, event):
        for name, function in self.listeners:
            if name == event.name:
                function(event.subject)

    def connect(self, name):
        """Let "username/uuid" in."""
        return self.core.connect(*name.split("/"))

    def advance(self, seconds):
        self.core.scheduler.advance(seconds)


def subscribe(client, username):
    """Subscribe; returns the state now."""
    answer = client.request("subscribe", f"/presence/{username}")
    assert answer["status"] == 200
    return answer["data"]


def publish(client, **fields):
    """Publish; returns the new state."""
    answer = client.request("publish", "/presence", fields)
    assert (answer["status"], answer["reason"]) == (200, "published")
    return answer["data"]


def take_states(client):
    """Take what came, which must be notifications of presence."""
    messages = client.take_all()
    assert [set(message) for message in messages] == [{"method", "data"}] * len(messages)
    assert {message["method"] for message in messages} <= {"presence"}
    return [message["data"] for message in messages]


def state_of(username, **fields):
    state = {
        "username": username,
        "online": False,
        "devices": 0,
        "status": None,
        "note": None,
        "since": None,
    }
    assert set(fields) <= set(state)
    return {**state, **fields}


def bob_online(**fields):
    return state_of("bob", **{"online": True, "devices": 1, "since": 1000.0, **fields})


def sizes(site):
    """Return what is kept: subscriptions, their two indexes, users."""
    kept = []
    for agent in agents_of(site).values():
        watchers = agent._watchers
        kept.append((len(watchers), len(watchers._peers), len(watchers._usernames)))
    return kept


def agents_of(site):
    """Return the agents of the app, as its services."""
    return site.core.application.runtime._services


# subscribe


def test_a_subscriber_is_answered_with_the_state_now():
    site = Site()
    alice, _ = site.connect("alice/a1"), site.connect("bob/b1")
    site.advance(5)
    answer = alice.request("subscribe", "/presence/bob")
    assert (answer["status"], answer["reason"]) == (200, "subscribed")
    assert answer["data"] == bob_online()
    assert alice.take_all() == []


def test_nothing_is_known_of_a_user_who_has_not_been_seen():
    assert subscribe(Site().connect("alice/a1"), "bob") == state_of("bob")


def test_of_a_user_who_has_left_it_is_known_since_when():
    site = Site()
    site.connect("bob/b1").drop()
    site.advance(60)
    assert subscribe(site.connect("alice/a1"), "bob") == state_of("bob", since=1000.0)


def test_a_subscriber_is_told_of_every_coming_and_going():
    site = Site()
    alice = site.connect("alice/a1")
    subscribe(alice, "bob")
    site.advance(1)
    first = site.connect("bob/b1")
    assert take_states(alice) == [bob_online(since=1001.0)]
    site.advance(1)
    second = site.connect("bob/b2")
    assert take_states(alice) == [bob_online(devices=2, since=1001.0)]
    site.advance(1)
    first.drop()
    assert take_states(alice) == [bob_online(since=1001.0)]
    site.advance(1)
    second.drop()
    assert take_states(alice) == [state_of("bob", since=1004.0)]


@pytest.mark.parametrize("leave", ["drop", "close"])
def test_a_user_whose_only_device_is_closed_is_offline(leave):
    site = Site()
    alice, bob = site.connect("alice/a1"), site.connect("bob/b1")
    subscribe(alice, "bob")
    bob.drop() if leave == "drop" else bob.peer.close()
    assert take_states(alice) == [state_of("bob", since=1000.0)]


def test_a_takeover_by_the_same_device_changes_nothing():
    site = Site()
    alice, _ = site.connect("alice/a1"), site.connect("bob/b1")
    subscribe(alice, "bob")
    site.connect("bob/b1")
    assert take_states(alice) == []


def test_nobody_is_told_of_users_they_do_not_watch():
    site = Site()
    alice = site.connect("alice/a1")
    subscribe(alice, "bob")
    site.connect("carol/c1").drop()
    assert take_states(alice) == []


def test_subscribing_twice_is_subscribing_once():
    site = Site()
    alice, bob = site.connect("alice/a1"), site.connect("bob/b1")
    assert subscribe(alice, "bob") == subscribe(alice, "bob") == bob_online()
    bob.drop()
    assert take_states(alice) == [state_of("bob", since=1000.0)]


def test_each_device_subscribes_for_itself():
    site = Site()
    first, second = site.connect("alice/a1"), site.connect("alice/a2")
    subscribe(first, "bob")
    site.connect("bob/b1")
    assert take_states(first) == [bob_online()]
    assert take_states(second) == []


def test_a_peer_may_watch_its_own_user():
    site = Site()
    alice = site.connect("alice/a1")
    assert subscribe(alice, "alice") == state_of("alice", online=True, devices=1, since=1000.0)
    site.connect("alice/a2")
    assert [state["devices"] for state in take_states(alice)] == [2]


def test_a_username_is_percent_decoded():
    site = Site()
    alice, _ = site.connect("alice/a1"), site.connect("bob@example.org/b1")
    assert subscribe(alice, "bob%40example.org")["username"] == "bob@example.org"


def test_it_is_a_router_to_which_more_can_be_added():
    assert isinstance(Site().presence, Router)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("subscribe", "/presence"),
        ("subscribe", "/presence/bob/b1"),
        ("subscribe", "/bob"),
        ("unsubscribe", "/presence"),
        ("unsubscribe", "/presence/bob/b1"),
        ("publish", "/presence/alice"),
        ("publish", "/presence/bob"),
        ("get", "/presence/bob"),
        ("presence", "/presence/bob"),
    ],
)
def test_everything_else_goes_past_it(method, path):
    answer = Site().connect("alice/a1").request(method, path, {"status": "away"})
    assert (answer["status"], answer["reason"]) == (404, "not found")


# unsubscribe


def test_who_unsubscribes_is_told_nothing_any_more():
    site = Site()
    alice, carol = site.connect("alice/a1"), site.connect("carol/c1")
    subscribe(alice, "bob")
    subscribe(carol, "bob")
    answer = alice.request("unsubscribe", "/presence/bob")
    assert (answer["status"], answer["data"]) == (200, {})
    site.connect("bob/b1")
    assert take_states(alice) == []
    assert take_states(carol) == [bob_online()]


def test_unsubscribing_ends_one_subscription_only():
    site = Site()
    alice = site.connect("alice/a1")
    subscribe(alice, "bob")
    subscribe(alice, "carol")
    alice.request("unsubscribe", "/presence/carol")
    site.connect("carol/c1")
    site.connect("bob/b1")
    assert take_states(alice) == [bob_online()]


def test_unsubscribing_without_a_subscription_is_answered_200():
    alice = Site(allow=lambda peer, username: False).connect("alice/a1")
    assert alice.request("unsubscribe", "/presence/bob")["status"] == 200


# allow


def test_allow_is_asked_who_may_watch_whom():
    asked = []

    def allow(peer, username):
        asked.append((peer, username))
        return username == "bob"

    site = Site(allow)
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
def test_allow_may_raise_like_any_middleware(allow, status, reason):
    site = Site(allow)
    alice = site.connect("alice/a1")
    answer = alice.request("subscribe", "/presence/bob")
    assert (answer["status"], answer["reason"]) == (status, reason)
    site.connect("bob/b1")
    assert take_states(alice) == []


@pytest.mark.parametrize("later", [refuse_with_reject, fail, lambda peer, username: False])
def test_an_answer_other_than_200_ends_a_subscription_that_had_been_allowed(later):
    answers = [everybody, later]
    site = Site(lambda peer, username: answers.pop(0)(peer, username))
    alice = site.connect("alice/a1")
    subscribe(alice, "bob")
    assert alice.request("subscribe", "/presence/bob")["status"] != 200
    site.connect("bob/b1")
    assert take_states(alice) == []


def test_a_subscription_whose_allow_took_too_long_is_none():
    core = Core(response_timeout=60)

    def think(peer, username):
        core.scheduler.advance(61)
        return True

    site = Site(think, core=core)
    alice = site.connect("alice/a1")
    assert alice.request("subscribe", "/presence/bob")["status"] == 504
    site.connect("bob/b1")
    assert take_states(alice) == []
    assert core.framework.errors == []


def test_allow_is_called_without_holding_the_lock():
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

    subscribe(Site(allow, core=core).connect("alice/a1"), "bob")
    assert free == [True]


async def allow_later(peer, username):
    return True


@pytest.mark.parametrize("allow", [None, True, "friends", ["bob"]])
def test_without_a_function_that_allows_it_says_what_one_looks_like(allow):
    with pytest.raises(UsageError) as caught:
        Site(allow)
    message = str(caught.value)
    assert "allow(peer, username)" in message
    assert "lambda peer, username: True" in message
    assert message.endswith(f"got {allow!r}")


def test_a_coroutine_function_cannot_allow():
    with pytest.raises(UsageError, match="coroutine function"):
        Site(allow_later)


def test_allow_has_no_default():
    with pytest.raises(TypeError, match="allow"):
        presence(Protoo())


# publish


def test_what_is_published_is_told_to_watchers_and_to_who_asks_later():
    site = Site()
    alice, bob = site.connect("alice/a1"), site.connect("bob/b1")
    subscribe(alice, "bob")
    site.advance(5)
    state = bob_online(status="busy", note="on the phone", since=1005.0)
    assert publish(bob, status="busy", note="on the phone") == state
    assert take_states(alice) == [state]
    assert subscribe(alice, "bob") == state
    assert bob.take_all() == []


def test_fields_that_are_not_given_stay_and_null_clears():
    site = Site()
    bob = site.connect("bob/b1")
    publish(bob, status="busy", note="on the phone")
    assert publish(bob, note="still on the phone")["status"] == "busy"
    assert publish(bob, status=None)["note"] == "still on the phone"
    assert publish(bob, note=None) == bob_online()


def test_a_note_does_not_change_since_when():
    site = Site()
    bob = site.connect("bob/b1")
    site.advance(1)
    assert publish(bob, note="hungry")["since"] == 1000.0
    assert publish(bob, status="out")["since"] == 1001.0
    site.advance(1)
    assert publish(bob, status="out", note="back at two")["since"] == 1001.0


def test_publishing_what_is_so_already_is_told_to_nobody():
    site = Site()
    alice, bob = site.connect("alice/a1"), site.connect("bob/b1")
    subscribe(alice, "bob")
    publish(bob)
    publish(bob, status=None)
    assert take_states(alice) == []
    publish(bob, status="busy")
    assert len(take_states(alice)) == 1
    site.advance(5)
    assert publish(bob, status="busy") == bob_online(status="busy")
    assert take_states(alice) == []


def test_any_device_may_publish_and_the_last_one_wins():
    site = Site()
    alice, first, second = (site.connect(name) for name in ("alice/a1", "bob/b1", "bob/b2"))
    publish(first, status="busy")
    publish(second, status="away")
    assert subscribe(alice, "bob")["status"] == "away"
    second.drop()
    assert [state["status"] for state in take_states(alice)] == ["away"]


def test_what_is_published_lasts_while_the_user_is_online():
    site = Site()
    alice, bob = site.connect("alice/a1"), site.connect("bob/b1")
    subscribe(alice, "bob")
    publish(bob, status="busy", note="on the phone")
    site.connect("bob/b2")
    bob.drop()
    assert [state["status"] for state in take_states(alice)] == ["busy"] * 3
    site.advance(5)
    [bob] = site.core.application.directory.find("bob")
    bob.close()
    site.advance(5)
    site.connect("bob/b1")
    assert take_states(alice) == [state_of("bob", since=1005.0), bob_online(since=1010.0)]


def test_who_watches_itself_is_told_and_answered():
    site = Site()
    alice = site.connect("alice/a1")
    subscribe(alice, "alice")
    alice.start_request("publish", "/presence", {"status": "busy"})
    notification, answer = alice.take_all()
    assert notification["method"] == "presence"
    assert notification["data"] == answer["data"]
    assert answer["data"]["status"] == "busy"


@pytest.mark.parametrize("path", ["/presence", "/presence/"])
def test_one_publishes_to_the_mount_itself(path):
    answer = Site().connect("bob/b1").request("publish", path, {"status": "busy"})
    assert answer["data"] == bob_online(status="busy")


def test_unknown_fields_are_ignored():
    data = {"status": "busy", "mood": "fine", "online": False, "username": "carol", "devices": "x"}
    answer = Site().connect("bob/b1").request("publish", "/presence", data)
    assert answer["data"] == bob_online(status="busy")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (
            {"status": "x" * (MAX_STATUS_LENGTH + 1)},
            "status must be null or a string of at most 64 characters, not 65 characters",
        ),
        (
            {"note": "x" * (MAX_NOTE_LENGTH + 1)},
            "note must be null or a string of at most 256 characters, not 257 characters",
        ),
        ({"status": 1}, "status must be null or a string of at most 64 characters, not a number"),
        ({"status": 1.5}, "status must be null or a string of at most 64 characters, not a number"),
        ({"note": True}, "note must be null or a string of at most 256 characters, not a boolean"),
        ({"note": ["x"]}, "note must be null or a string of at most 256 characters, not an array"),
        ({"note": {}}, "note must be null or a string of at most 256 characters, not an object"),
        (
            {"status": "busy", "note": 0},
            "note must be null or a string of at most 256 characters, not a number",
        ),
    ],
)
def test_what_cannot_be_published_is_answered_400_and_changes_nothing(data, reason):
    site = Site()
    alice, bob = site.connect("alice/a1"), site.connect("bob/b1")
    subscribe(alice, "bob")
    answer = bob.request("publish", "/presence", data)
    assert (answer["status"], answer["reason"]) == (400, reason)
    assert take_states(alice) == []
    assert subscribe(alice, "bob") == bob_online()


def test_the_longest_status_and_note_may_be_published():
    state = publish(Site().connect("bob/b1"), status="é" * 64, note="\U0001f600" * 256)
    assert (state["status"], state["note"]) == ("é" * 64, "\U0001f600" * 256)


# Notifications


def test_without_an_id_everything_works_and_nobody_is_answered():
    site = Site()
    alice, bob = site.connect("alice/a1"), site.connect("bob/b1")
    alice.notify("subscribe", "/presence/bob")
    bob.notify("publish", "/presence", {"status": "busy"})
    assert take_states(alice) == [bob_online(status="busy")]
    alice.notify("unsubscribe", "/presence/bob")
    bob.notify("publish", "/presence", {"status": "away"})
    bob.notify("publish", "/presence", {"status": 1})
    assert (alice.take_all(), bob.take_all()) == ([], [])


# Many


def test_a_thousand_watchers_are_told_with_one_serialization():
    site = Site()
    watchers = [site.connect(f"watcher{n}/w") for n in range(1000)]
    for watcher in watchers:
        subscribe(watcher, "bob")
    site.connect("bob/b1")
    payloads = [payload for watcher in watchers for payload in watcher.link.payloads]
    assert len(payloads) == 1000
    assert len({id(payload) for payload in payloads}) == 1
    assert json.loads(payloads[0]) == {"method": "presence", "data": bob_online()}


def test_nothing_is_left_of_subscribers_who_have_gone():
    site = Site()
    carol = site.connect("carol/c1")
    subscribe(carol, "bob")
    before = sizes(site)
    assert before == [(1, 1, 1)]
    for n in range(1000):
        client = site.connect(f"alice/{n}")
        for username in ("bob", "alice", f"nobody{n}"):
            subscribe(client, username)
        client.drop() if n % 2 else client.peer.close()
    assert sizes(site) == before
    [agent] = agents_of(site).values()
    assert len(agent._states) == 2  # carol is online, alice was seen last


def test_a_subscriber_who_comes_back_starts_anew():
    site = Site()
    alice = site.connect("alice/a1")
    subscribe(alice, "bob")
    alice.drop()
    again = site.connect("alice/a1")
    site.connect("bob/b1")
    assert take_states(again) == []


def test_a_peer_watches_so_many_users_at_most():
    site = Site(max_subscriptions=2)
    alice = site.connect("alice/a1")
    subscribe(alice, "bob")
    subscribe(alice, "carol")
    answer = alice.request("subscribe", "/presence/dave")
    assert answer["status"] == 403
    assert answer["reason"] == "you watch 2 users already, which is the limit"
    assert subscribe(alice, "bob") == state_of("bob")
    assert subscribe(site.connect("alice/a2"), "dave") == state_of("dave")
    alice.request("unsubscribe", "/presence/bob")
    assert subscribe(alice, "dave") == state_of("dave")


def test_by_default_a_peer_watches_a_thousand_users():
    alice = Site().connect("alice/a1")
    for n in range(1000):
        subscribe(alice, f"user{n}")
    assert alice.request("subscribe", "/presence/bob")["status"] == 403


@pytest.mark.parametrize("limit", [0, -1, True, 1.5, "1000", None])
def test_a_limit_that_cannot_be_is_refused(limit):
    with pytest.raises(UsageError, match="an integer of at least 1, not"):
        Site(max_subscriptions=limit)


def test_users_who_have_left_are_forgotten_in_the_end():
    site = Site()
    for n in range(MAX_LAST_SEEN + 1):
        site.connect(f"user{n}/u").drop()
    [agent] = agents_of(site).values()
    assert len(agent._states) == MAX_LAST_SEEN
    alice = site.connect("alice/a1")
    assert subscribe(alice, "user0")["since"] is None
    assert subscribe(alice, "user1")["since"] == 1000.0


# Races


def test_a_subscriber_who_left_while_allow_was_blocking_leaves_nothing_behind():
    site = Site(lambda peer, username: peer.close() is None)
    alice = site.connect("alice/a1")
    alice.start_request("subscribe", "/presence/bob")
    assert sizes(site) == [(0, 0, 0)]


def test_what_has_come_back_before_its_leaving_is_told_has_not_left():
    site = Site()
    alice, bob = site.connect("alice/a1"), site.connect("bob/b1")
    subscribe(alice, "bob")
    publish(bob, status="busy")
    take_states(alice)
    # A listener of the site blocks in "offline", before ours; the device comes back.
    site.listeners.insert(0, ("peer_offline", lambda peer: site.connect("bob/b1")))
    bob.drop()
    assert take_states(alice) == []
    assert subscribe(alice, "bob") == bob_online(status="busy")


def test_a_user_is_seen_before_its_coming_is_told_and_told_once():
    site = Site()
    alice, carol = site.connect("alice/a1"), site.connect("carol/c1")
    subscribe(alice, "bob")
    site.listeners.insert(0, ("peer_online", lambda peer: carol.take_all()))
    site.listeners.insert(0, ("peer_online", lambda peer: subscribe(carol, "bob")))
    site.connect("bob/b1")
    assert take_states(alice) == [bob_online()]
    assert take_states(carol) == []


def test_a_device_that_has_been_closed_publishes_nothing_any_more():
    core = Core()
    core.router.method("publish", lambda req, next: (req.peer.close(), next()))
    site = Site(core=core)
    alice, bob = site.connect("alice/a1"), site.connect("bob/b1")
    subscribe(alice, "bob")
    bob.start_request("publish", "/presence", {"status": "busy"})
    assert take_states(alice) == [state_of("bob", since=1000.0)]
    assert subscribe(alice, "bob") == state_of("bob", since=1000.0)


@pytest.fixture
def threads(monkeypatch):
    """Locks are those of threads, which switch as often as they can."""
    monkeypatch.setattr(FakeScheduler, "lock", ThreadLoop.lock)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield run_in_threads
    sys.setswitchinterval(interval)


def run_in_threads(functions):
    with ThreadPoolExecutor(len(functions)) as pool:
        for future in [pool.submit(function) for function in functions]:
            future.result()


def test_in_threads_the_last_thing_told_is_true_and_nothing_is_left(threads):
    site = Site()
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
    assert sizes(site) == [(2, 2, 1)]


class ContendedLock:
    """A re-entrant lock that tells when a thread has to wait for it."""

    def __init__(self, on_wait):
        self._lock = threading.RLock()
        self._on_wait = on_wait

    def __enter__(self):
        if not self._lock.acquire(blocking=False):
            self._on_wait()
            self._lock.acquire()

    def __exit__(self, *exc_info):
        self._lock.release()


def test_a_newer_notification_does_not_overtake_an_older_one_in_another_thread():
    site = Site()
    newer_has_come = threading.Event()
    site.core.scheduler.lock = lambda: ContendedLock(on_wait=newer_has_come.set)
    alice, first, second = (site.connect(name) for name in ("alice/a1", "bob/b1", "bob/b2"))
    subscribe(alice, "bob")
    send = alice.link.send
    newer = threading.Thread(target=publish, args=(second,), kwargs={"status": "newer"})

    def send_slowly(payload):
        alice.link.send = send_and_tell
        newer.start()
        assert newer_has_come.wait(10)
        return send(payload)

    def send_and_tell(payload):
        sent = send(payload)
        newer_has_come.set()
        return sent

    alice.link.send = send_slowly
    publish(first, status="older")
    newer.join()
    assert [state["status"] for state in take_states(alice)] == ["older", "newer"]


def test_in_threads_an_app_has_one_agent(threads):
    for _ in range(20):
        site = Site()
        clients = [site.connect(f"alice/{n}") for n in range(4)]
        agents_of(site).clear()
        threads([functools.partial(subscribe, client, "bob") for client in clients])
        assert sizes(site) == [(4, 1, 4)]


# Apps


def test_apps_that_share_a_protoo_have_a_presence_each():
    protoo = Protoo()
    protoo.use("/presence", presence(protoo, everybody))
    here, there = make_app("here"), make_app("there")
    for app in (here, there):
        protoo.init_app(app)
    alice, stranger = join(here), join(there)
    for inbox in (alice, stranger):
        inbox.receive(b'{"method": "subscribe", "path": "/presence/bob", "id": 1, "data": {}}')
        assert inbox.peer.link.take()["data"] == state_of("bob")
    bob = join(here, "bob", "b1")
    [state] = take_states(alice.peer.link)
    assert (state["username"], state["online"]) == ("bob", True)
    assert abs(state["since"] - time.time()) < 60
    assert take_states(stranger.peer.link) == []
    bob.receive(b'{"method": "publish", "path": "/presence", "data": {"status": "busy"}}')
    assert [state["status"] for state in take_states(alice.peer.link)] == ["busy"]
    assert take_states(stranger.peer.link) == []
    for app in (here, there):
        app.extensions["protoo"].close()


def test_an_app_that_is_gone_takes_its_presence_with_it():
    site = Site()
    alice, bob = site.connect("alice/a1"), site.connect("bob/b1")
    subscribe(alice, "bob")
    site.core.application.close()
    [agent] = map(weakref.ref, agents_of(site).values())
    del alice, bob, site
    gc.collect()
    assert agent() is None


# The grace period


def test_who_comes_back_in_time_has_not_been_away():
    site = Site(core=Core(grace_period=10))
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


def test_who_stays_away_is_offline_when_the_grace_period_is_over():
    site = Site(core=Core(grace_period=10))
    alice, bob = site.connect("alice/a1"), site.connect("bob/b1")
    publish(bob, status="busy")
    subscribe(alice, "bob")
    bob.drop()
    site.advance(9)
    assert take_states(alice) == []
    site.advance(1)
    assert take_states(alice) == [state_of("bob", since=1010.0)]


def test_a_device_within_its_grace_period_counts():
    site = Site(core=Core(grace_period=10))
    alice, first, _ = (site.connect(name) for name in ("alice/a1", "bob/b1", "bob/b2"))
    subscribe(alice, "bob")
    first.drop()
    assert subscribe(alice, "bob")["devices"] == 2
    site.advance(10)
    assert take_states(alice) == [bob_online()]


def test_who_is_disconnected_by_the_site_is_offline_at_once():
    site = Site(core=Core(grace_period=10))
    alice, bob = site.connect("alice/a1"), site.connect("bob/b1")
    subscribe(alice, "bob")
    bob.peer.close()
    assert take_states(alice) == [state_of("bob", since=1000.0)]


def test_a_subscriber_who_is_away_keeps_the_subscription_and_gets_what_has_happened():
    site = Site(core=Core(grace_period=10))
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


def test_a_subscriber_whose_grace_period_is_over_is_forgotten():
    site = Site(core=Core(grace_period=10))
    alice = site.connect("alice/a1")
    subscribe(alice, "bob")
    alice.drop()
    assert sizes(site) == [(1, 1, 1)]
    site.advance(10)
    assert sizes(site) == [(0, 0, 0)]
    again = site.connect("alice/a1")
    site.connect("bob/b1")
    assert take_states(again) == []
