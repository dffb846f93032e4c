"""The directory behind a listener that blocks: the events of a user do not pile up."""

from __future__ import annotations

import pytest

from protoo_flask.core.events import MAX_WAITING
from protoo_flask.core.peers.directory import Identity, TooManyEvents
from tests.core.devices import GRACE, ONLINE
from tests.fakes import Core


class BlockedCore(Core):
    """A core whose listener of Alice's first "online" blocks, while a function runs."""

    def __init__(self, meanwhile, **options):
        super().__init__(**options)
        self.meanwhile = meanwhile
        self.framework.on_event.append(self._block)
        self.client = self.connect("alice", "a1")

    def _block(self, event):
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile(self)

    def names(self):
        """Return the names of the events that were told."""
        return [name for name, _ in self.framework.told]

    def refusal(self, uuid, username="alice"):
        """Return the error that a handshake is refused with, or ``None``."""
        try:
            self.application.directory.check_space(Identity(username, uuid))
        except TooManyEvents as error:
            return error
        return None


def test_a_device_that_drops_and_returns_while_a_listener_blocks_is_told_once():
    def flap(core):
        client = core.connect("alice", "a2")
        for _ in range(1000):
            client.drop()
            client = core.connect("alice", "a2")
        assert core.refusal("a3") is None

    core = BlockedCore(flap, grace_period=GRACE)
    assert core.names() == [*ONLINE, "peer_online"]
    assert core.scheduler.pending_timers == 0


def test_the_last_state_is_told():
    def flap(core):
        client = core.connect("alice", "a2")
        for _ in range(3):
            client.drop()
            client = core.connect("alice", "a2")
        client.drop()

    core = BlockedCore(flap, grace_period=GRACE)
    assert core.names() == [*ONLINE, "peer_online", "peer_disconnect"]
    core.connect("alice", "a2").drop()
    assert core.names()[4:] == ["peer_reconnect", "peer_disconnect"]


def test_a_disconnect_that_is_being_told_is_followed_by_a_reconnect():
    def come_back(core):
        for _ in range(3):
            core.connect("alice", "a1").drop()
        core.connect("alice", "a1")

    core = BlockedCore(None, grace_period=GRACE)
    core.meanwhile = come_back
    core.client.drop()
    assert core.names() == [*ONLINE, "peer_disconnect", "peer_reconnect"]


@pytest.mark.parametrize(("more", "is_refused"), [(-1, False), (0, False), (1, True)])
def test_a_new_device_is_refused_while_too_many_events_wait(more, is_refused):
    def look(core):
        waiting = MAX_WAITING + more
        queue = core.application.directory._events._queues["alice"]
        while len(queue) < waiting - 1:
            core.connect("alice", "a2").leave()
        if len(queue) < waiting:
            core.connect("alice", "a3")
        assert len(queue) == waiting
        refused = core.refusal("a4")
        assert (refused is not None) == is_refused
        # A device that is there may connect again, and other users are not concerned.
        assert core.refusal("a1") is None
        assert core.refusal("b1", "bob") is None

    core = BlockedCore(look)
    assert core.refusal("a4") is None
    arrivals = core.names().count("peer_online")
    departures = core.names().count("peer_offline")
    assert arrivals - departures == len(core.application.directory.find("alice"))


def test_the_first_refusal_is_news():
    def look(core):
        while core.refusal("a2") is None:
            core.connect("alice", "a2").leave()
        # The one above was the first.
        error = core.refusal("a2")
        assert not error.is_news
        assert error.retry_after == 5
        assert error.reason == "alice has come and gone too often for the site to follow"
        news.append(error)

    news = []
    core = BlockedCore(look)
    core.meanwhile = lambda core: news.append(fill(core))
    core.connect("alice", "a2")
    assert [error.is_news for error in news] == [False, True]


def fill(core):
    """Let a device come and go until one is refused; returns the error."""
    while True:
        error = core.refusal("a3")
        if error is not None:
            return error
        core.connect("alice", "a3").leave()
