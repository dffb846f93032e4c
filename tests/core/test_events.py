"""Event queues: the events of a user are told in order, however slow the listeners are."""

from __future__ import annotations

import contextlib

import pytest

from protoo_flask.core.events import MAX_WAITING, EventQueues, SiteEvent


def queues(tell):
    return EventQueues(tell, contextlib.nullcontext())


def event(name):
    return SiteEvent(name, None)


def happen(events, username, *names):
    """Post events and drain the queue, as the directory does."""
    events.post(username, *map(event, names))
    events.drain(username)


def test_events_are_told_in_the_order_in_which_they_were_posted():
    told = []
    events = queues(lambda event: told.append(event.name))
    events.post("alice", event("one"), event("two"))
    events.post("alice", event("three"))
    assert told == []
    events.drain("alice")
    assert told == ["one", "two", "three"]


def test_an_event_that_comes_while_a_listener_blocks_waits_until_it_has_finished():
    told = []

    def tell(event):
        told.append(f"{event.name} begins")
        if event.name == "online":
            # Another greenlet does this while the listener waits for the database.
            happen(events, "alice", "offline")
            happen(events, "alice", "online again")
        told.append(f"{event.name} ends")

    events = queues(tell)
    happen(events, "alice", "online")
    assert told == [
        "online begins",
        "online ends",
        "offline begins",
        "offline ends",
        "online again begins",
        "online again ends",
    ]


def test_a_listener_that_blocks_does_not_delay_the_events_of_other_users():
    told = []

    def tell(event):
        if event.name == "alice online":
            happen(events, "bob", "bob online")
        told.append(event.name)

    events = queues(tell)
    happen(events, "alice", "alice online")
    assert told == ["bob online", "alice online"]


def test_draining_a_user_without_events_does_nothing():
    events = queues(lambda event: pytest.fail("there is nothing to tell"))
    events.drain("alice")


def test_nothing_is_kept_of_a_user_whose_events_have_been_told():
    events = queues(lambda event: None)
    events.post("alice", event("online"))
    assert len(events) == 1
    events.drain("alice")
    assert len(events) == 0


def test_a_listener_that_ends_its_greenlet_keeps_no_other_event_from_being_told():
    class Timeout(BaseException):
        """Like gevent.Timeout: no Exception, so listeners do not catch it."""

    told = []

    def tell(event):
        told.append(event.name)
        if event.name == "online":
            raise Timeout

    events = queues(tell)
    with pytest.raises(Timeout):
        happen(events, "alice", "online", "offline")
    assert told == ["online", "offline"]
    happen(events, "alice", "online again")
    assert told[2:] == ["online again"]
    assert len(events) == 0


def test_the_lock_is_not_held_while_an_event_is_told():
    class Lock:
        held = False

        def __enter__(self):
            self.held = True

        def __exit__(self, *exc_info):
            self.held = False

    lock = Lock()
    seen = []
    events = EventQueues(lambda event: seen.append(lock.held), lock)
    happen(events, "alice", "online", "offline")
    assert seen == [False, False]


def test_an_event_that_is_not_told_yet_can_be_withdrawn():
    told = []
    events = queues(lambda event: told.append(event.name))
    events.post("alice", event("one"), event("two"), event("one"))
    assert events.withdraw("alice", event("one"))
    assert not events.withdraw("alice", event("three"))
    assert not events.withdraw("bob", event("one"))
    events.drain("alice")
    assert told == ["one", "two"]
    assert not events.withdraw("alice", event("one"))


def test_nothing_is_kept_of_a_user_whose_only_event_was_withdrawn():
    events = queues(lambda event: pytest.fail("there is nothing to tell"))
    events.post("alice", event("one"))
    assert events.withdraw("alice", event("one"))
    assert len(events) == 0
    events.drain("alice")


def test_an_event_that_is_being_told_cannot_be_withdrawn():
    told = []

    def tell(event):
        told.append(event.name)
        if event.name == "one":
            events.post("alice", event._replace(name="two"))
            assert not events.withdraw("alice", event)
            assert events.withdraw("alice", event._replace(name="two"))
            # The queue is still there for the next events.
            happen(events, "alice", "three")

    events = queues(tell)
    happen(events, "alice", "one")
    assert told == ["one", "three"]
    assert len(events) == 0


def test_a_queue_is_too_long_beyond_the_limit_which_is_news_once():
    events = queues(lambda event: None)
    events.post("alice", *map(event, range(MAX_WAITING)))
    assert not events.is_overlong("alice")
    events.post("alice", event("one more"))
    assert events.is_overlong("alice")
    assert [events.notice_overlong("alice") for _ in range(3)] == [True, False, False]
    assert not events.is_overlong("bob")
    events.drain("alice")
    assert not events.is_overlong("alice")
    events.post("alice", *map(event, range(MAX_WAITING + 1)))
    assert events.notice_overlong("alice")
