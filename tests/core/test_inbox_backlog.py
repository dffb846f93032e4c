"""The backlog of an inbox: which requests are handled, which wait, and when reading pauses.

The first request of each test is "handled" while the test sends more: its handler calls
the test, as a handler that blocks would let another greenlet read.
"""

from __future__ import annotations

import json

import pytest

from protoo_flask.core.backlog import MAX_BACKLOG, REQUEST_SIZE
from protoo_flask.core.peers.directory import Identity
from protoo_flask.core.scheduling import TURN_TIME
from tests.fakes import Core, FakeLink


class Busy:
    """A client with a first request that is being handled while ``meanwhile()`` runs."""

    def __init__(self, **options) -> None:
        self.core = core = Core(**options)
        self.handled: list[str] = []
        core.router.use(self._handle)
        self.client = core.connect()
        self.inbox, self.link = self.client.inbox, self.client.link
        self._meanwhile = None

    def run(self, meanwhile) -> None:
        self._meanwhile = meanwhile
        self.send("first")

    def send(self, method: str, size: int | None = None) -> None:
        """Send a request in a message of so many bytes."""
        message = {"method": method, "path": "/", "id": 1 + len(self.handled), "data": {}}
        message["id"] = next(self.client._ids)
        text = json.dumps(message)
        self.client.send_raw(text.ljust(size or len(text)).encode())

    def _handle(self, req, next) -> None:
        self.handled.append(req.method)
        meanwhile, self._meanwhile = self._meanwhile, None
        if meanwhile is not None:
            meanwhile()
        req.reply(200)


def test_requests_wait_while_one_is_handled_and_follow_in_order_of_arrival():
    busy = Busy()

    def meanwhile():
        busy.send("second")
        busy.send("third")
        assert busy.handled == ["first"]

    busy.run(meanwhile)
    assert busy.handled == ["first", "second", "third"]


def test_as_many_requests_are_handled_at_once_as_the_limit_allows():
    busy = Busy(parallel_requests=2)

    def meanwhile():
        busy.send("second")
        assert busy.handled == ["first", "second"]

    busy.run(meanwhile)


def test_waiting_requests_are_counted_with_their_messages_and_handled_ones_are_not():
    busy = Busy()

    def meanwhile():
        busy.send("second", 1000)
        busy.send("third", 2000)
        assert busy.inbox.waiting == 3000 + 2 * REQUEST_SIZE

    busy.run(meanwhile)
    assert busy.inbox.waiting == 0


@pytest.mark.parametrize(("excess", "is_paused"), [(0, False), (1, True)])
def test_reading_pauses_when_more_than_the_limit_waits(excess, is_paused):
    busy = Busy()

    def meanwhile():
        busy.send("second", MAX_BACKLOG - REQUEST_SIZE + excess)
        assert busy.link.is_paused is is_paused

    busy.run(meanwhile)
    assert not busy.link.is_paused


def test_messages_that_arrive_while_reading_is_paused_find_a_place_in_order():
    busy = Busy()

    def meanwhile():
        busy.send("second", MAX_BACKLOG)
        busy.send("third")
        busy.send("fourth")

    busy.run(meanwhile)
    assert busy.handled == ["first", "second", "third", "fourth"]
    assert not busy.link.is_paused


def test_dropped_requests_are_not_handled_and_may_be_repeated():
    busy = Busy()

    def meanwhile():
        busy.send("second")
        busy.inbox.drop()
        assert busy.inbox.waiting == 0

    busy.run(meanwhile)
    assert busy.handled == ["first"]
    assert len(busy.client.peer.requests) == 0
    busy.send("third")
    assert busy.handled == ["first", "third"]


def test_nothing_is_handled_before_the_site_has_been_told_online():
    core = Core()
    handled = []
    core.router.use(lambda req, next: handled.append(req.method))

    def send_first(event):
        if event.name == "peer_online":
            # The listener blocks, and the client's first request comes.
            [peer] = core.application.directory.find()
            inbox = inboxes[0]
            inbox.receive(b'{"method": "early", "path": "/"}')
            assert (handled, inbox.peer) == ([], peer)

    inboxes = []
    connect = core.application.connect

    def connect_and_keep(*args, **kwargs):
        inboxes.append(connect(*args, **kwargs))
        return inboxes[-1]

    core.application.connect = connect_and_keep
    core.framework.on_event.append(send_first)
    core.connect()
    assert handled == ["early"]


def drop_link(busy):
    busy.client.drop()


def take_over(busy):
    busy.client = busy.core.connect()


@pytest.mark.parametrize("lose_link", [drop_link, take_over])
def test_requests_of_an_earlier_link_are_not_handled_when_the_peer_has_been_removed(lose_link):
    busy = Busy(grace_period=10)

    def meanwhile():
        busy.send("second")
        lose_link(busy)
        busy.core.application.disconnect("alice", None, 3001, "banned")

    busy.run(meanwhile)
    assert busy.handled == ["first"]
    assert busy.inbox.waiting == 0


def test_requests_of_a_client_that_has_left_by_itself_are_handled():
    busy = Busy(grace_period=10)

    def meanwhile():
        busy.send("second")
        busy.client.leave()

    busy.run(meanwhile)
    assert busy.handled == ["first", "second"]


def test_requests_that_came_before_the_online_event_are_not_handled_after_a_removal():
    core = Core()
    handled = []
    core.router.use(lambda req, next: handled.append(req.method))

    def listen(event):
        if event.name == "peer_online":
            core.application.connect(Identity("alice", "a1"), FakeLink(), None)
            core.application.disconnect("alice", None, 3001, "banned")

    core.framework.on_event.append(listen)
    core.router.freeze(core.routing_options)
    inbox = core.application.connect(Identity("alice", "a1"), FakeLink(), None)
    inbox.receive(b'{"method": "get", "path": "/", "id": 1}')
    inbox.open()
    assert handled == []


@pytest.mark.parametrize(("share", "at_once"), [(0.4, 3), (0.99, 2), (1.01, 1)])
def test_others_have_their_turns_between_requests_that_have_waited(share, at_once):
    busy = Busy()
    scheduler = busy.core.scheduler
    scheduler.preempts = False  # as among greenlets
    turns = []
    call_later = scheduler.call_later

    def note(seconds, function, *args):
        turns.append((seconds, len(busy.handled) - 1))
        return call_later(seconds, function, *args)

    class Handled(list):
        def append(self, method):
            super().append(method)
            scheduler.time += share * TURN_TIME

    busy.handled = Handled()

    def meanwhile():
        for number in range(6):
            busy.send(f"{number}")
        scheduler.call_later = note

    busy.run(meanwhile)
    assert turns == [(0, at_once)]
    scheduler.advance(1)
    assert busy.handled == ["first", *"012345"]
    assert turns == [(0, number) for number in range(at_once, 6, at_once)]
