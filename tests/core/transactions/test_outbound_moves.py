"""Outbound messages whose device moves from one process to another."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protoo_flask.core.request import Request
from protoo_flask.core.response import Response
from protoo_flask.core.transactions.client import OF_CORE, OF_SITE, RELAYED
from protoo_flask.core.transactions.local_transactions import LocalTransaction
from protoo_flask.core.transactions.outbound import Outbound, SharedOutbound
from protoo_flask.core.transactions.unanswered import Account
from protoo_flask.core.wire.dialect import PROTOO
from tests.fakes import Core, FakeLink

ROOM = 100_000
NOBODY = {"username": "carol", "uuid": "c1"}


class Half:
    """The owner's half of a request whose asker is in another process."""

    def __init__(self, half, asker, kind):
        self.id = half.id
        self.payload = half.payload
        self.size = half.size
        self.sender = half.sender
        self.account = None
        if half.sender is not None and kind is not RELAYED:
            self.account = Account(half.sender["username"], True, False)
        self.asker = asker
        self.ended = []

    def receive(self, response):
        self.asker.receive(response)

    def finish(self, status, reason):
        self.ended.append(status)


class ElsewhereOwner:
    """The way to a device at another process, as a Successor and an Owner."""

    def __init__(self, runtime):
        self.runtime = runtime
        self.asks = {}
        self.passed_on = []
        self.told = []

    def take_over(self, transaction):
        self.asks[transaction.id] = transaction
        return self

    def pass_on(self, transaction, payload, kind):
        self.passed_on.append((transaction.id, payload, kind))
        transaction.change_owner(self.take_over(transaction))

    def release(self, transaction):
        return self.asks.pop(transaction.id, None) is not None

    def keep(self, transaction, response):
        pass

    def transmit(self, payload, sender=None):
        self.told.append(payload)
        return True

    def answer(self, id, status):
        transaction = self.asks[id]
        if status < 200 or self.release(transaction):
            transaction.receive(Response(status, "", id=id))


class Process:
    """One process, as far as the messages to a device are concerned."""

    def __init__(self, kind=Outbound, first_id=100):
        # No id twice, also after a return.
        ids = itertools.count(first_id, 50)
        self.runtime = Core(first_id=lambda: next(ids)).application.runtime
        self.kind = kind
        self.told = []
        self.elsewhere = ElsewhereOwner(self.runtime)
        self.come()

    def come(self):
        self.outbound = self.kind(self, self.runtime, PROTOO)
        self.outbound.may_wait = True
        self.link = None

    def connect(self):
        if self.link is not None:
            self.link.retire(3000, "online elsewhere")
        link = FakeLink()
        self.outbound.attach(link)
        self.link = link
        return link

    def call_back(self, function, response):
        function(response)

    def may_run_here(self, function):
        return True

    def ask(self, method="get", sender=None, kind=OF_SITE, timeout=None):
        request = Request(method)
        request.sender = sender
        return self.outbound.start(request, self.told.append, timeout, kind)

    def leave(self, room=ROOM):
        if self.link is not None:
            self.link.retire(3000, "online elsewhere")
        return self.outbound.leave(self.elsewhere, room)


def move(source, target):
    """Move the device, with everything that waits for it; returns the halves over there."""
    bequest = source.leave()
    halves = [Half(half, half, bequest.kinds[half.id]) for half in bequest.halves]
    target.outbound.inherit(halves, bequest.waiting)
    return halves


def methods(link):
    return [json.loads(payload)["method"] for payload in link.payloads]


@pytest.fixture(params=[Outbound, SharedOutbound])
def two(request):
    return Process(request.param, 100), Process(request.param, 90_000)


# The messages


def test_the_next_link_at_another_process_sends_everything_in_order_and_under_the_same_ids(two):
    here, there = two
    first = here.connect()
    here.ask("answered")
    here.outbound.receive(100, Response(200, "OK"))
    here.ask("asked")
    first.is_stuck = True
    here.outbound.transmit(b'{"method":"unsent"}')
    here.ask("unsent request")
    move(here, there)
    there.outbound.transmit(b'{"method":"newer"}')
    link = there.connect()
    assert methods(link) == ["asked", "unsent", "unsent request", "newer"]
    assert [json.loads(payload).get("id") for payload in link.payloads] == [101, None, 102, None]


def test_messages_that_came_here_before_the_estate_come_after_those_in_it(two):
    here, there = two
    here.outbound.transmit(b'{"method":"older"}')
    there.outbound.transmit(b'{"method":"newer"}')
    there.ask("newest")
    move(here, there)
    assert methods(there.connect()) == ["older", "newer", "newest"]


def test_messages_that_wait_in_a_mailbox_move_along(two):
    here, there = two
    here.connect()
    here.ask("asked")
    here.link.close(1006, "")
    here.outbound.detach()
    here.outbound.transmit(b'{"method":"waits"}')
    here.link = None
    move(here, there)
    assert methods(there.connect()) == ["asked", "waits"]


def test_a_device_that_comes_back_to_the_first_process_finds_its_messages_there(two):
    here, there = two
    here.connect()
    transaction = here.ask("asked")
    halves = move(here, there)
    there.outbound.transmit(b'{"method":"told"}')
    here.come()
    bequest = there.leave()
    assert bequest.halves == halves
    here.outbound.inherit(bequest.halves, bequest.waiting)
    assert methods(here.connect()) == ["asked", "told"]
    assert here.outbound.receive(transaction.id, Response(200, "OK"))
    assert [response.status for response in here.told] == [200]


def test_nothing_is_left_where_the_device_was(two):
    here, there = two
    here.connect()
    here.ask("asked", sender=NOBODY)
    assert here.runtime.sent.total > 0
    move(here, there)
    assert len(here.outbound) == 0
    assert here.outbound.unanswered.size == 0
    assert here.runtime.sent.total == 0
    assert there.outbound.unanswered.size > 1000
    assert there.runtime.sent.of("carol") > 0


def test_a_relayed_request_is_not_counted_among_all_of_its_sender(two):
    here, there = two
    here.connect()
    here.ask("asked", sender=NOBODY, kind=RELAYED)
    move(here, there)
    assert there.runtime.sent.total == 0


def test_too_much_is_not_given_up(two):
    here, _ = two
    link = here.connect()
    here.ask("asked")
    link.is_stuck = True
    here.outbound.transmit(b'{"method":"long"}')
    assert here.leave(room=20) is None
    assert [id for _, id in here.outbound.mailbox.items()] == [100, None]
    assert here.outbound.successor is None
    here.outbound.finish_all(410, "peer offline")
    assert [response.status for response in here.told] == [410]


# The askers


@pytest.mark.parametrize("kind", [OF_SITE, OF_CORE])
def test_who_asked_gets_the_answer_that_the_device_gives_elsewhere(two, kind):
    here, there = two
    here.connect()
    transaction = here.ask("asked", kind=kind)
    move(here, there)
    here.elsewhere.answer(transaction.id, 180)
    here.elsewhere.answer(transaction.id, 200)
    assert [response.status for response in here.told] == [180, 200]
    assert transaction.wait().status == 200


def test_a_request_that_has_moved_still_times_out_here(two):
    here, there = two
    here.connect()
    here.ask("usual", timeout=10)
    here.ask("special", timeout=5)
    move(here, there)
    here.runtime.scheduler.advance(10)
    assert [response.status for response in here.told] == [408, 408]
    assert here.elsewhere.asks == {}


def test_a_request_that_ends_while_the_device_moves_ends_once(two):
    here, there = two
    here.connect()
    transaction = here.ask("asked")
    move(here, there)
    # As by a thread that has found the former owner.
    assert here.outbound.release(transaction) is True
    assert here.outbound.release(transaction) is False
    assert here.elsewhere.asks == {}


def test_messages_of_a_thread_that_has_found_the_former_way_take_the_new_one(two):
    here, there = two
    here.connect()
    move(here, there)
    assert here.outbound.transmit(b'{"method":"late"}') is True
    assert here.elsewhere.told == [b'{"method":"late"}']
    transaction = here.ask("late request")
    assert [id for id, _, _ in here.elsewhere.passed_on] == [transaction.id]
    here.elsewhere.answer(transaction.id, 200)
    assert transaction.wait().status == 200
    assert here.outbound.unanswered.size == 0


# Any order of events


class World:
    """A device that moves among three processes, and what it has been sent over all its links."""

    def __init__(self):
        self.processes = [Process(Outbound, first) for first in (10_000, 20_000, 30_000)]
        self.at = self.processes[0]
        self.received = []
        self.answered = set()
        self.numbers = itertools.count()
        self.expected = []
        self.is_connected = False
        self.link = None

    def connect(self, index):
        self._read()
        target = self.processes[index]
        if target is not self.at:
            target.come()
            bequest = self.at.leave()
            target.outbound.inherit(bequest.halves, bequest.waiting)
            self.at = target
        self.link = target.connect()
        self.is_connected = True
        self._read()

    def drop(self, _):
        if self.is_connected:
            self._read()
            self.link.close(1006, "")
            self.at.outbound.detach()
            self.at.link = None
            self.is_connected = False

    def stall(self, _):
        if self.is_connected:
            self.link.is_stuck = True

    def tell(self, _):
        name = f"told {next(self.numbers)}"
        self.expected.append(name)
        self.at.outbound.transmit(json.dumps({"method": name}).encode())
        self._read()

    def ask(self, _):
        name = f"asked {next(self.numbers)}"
        self.expected.append(name)
        self.at.ask(name)
        self._read()

    def answer(self, index):
        """Answer one of the requests that the device has."""
        known = [message for message in self.received if message.get("id") is not None]
        open = [message for message in known if message["id"] not in self.answered]
        if open and self.is_connected:
            message = open[index % len(open)]
            self.answered.add(message["id"])
            assert self.at.outbound.receive(message["id"], Response(200, "OK"))

    def _read(self):
        if self.link is None:
            return
        for message in self.link.take_all():
            # A request is sent again only if the device has not answered it.
            assert message.get("id") not in self.answered
            self.received.append(message)


EVENTS = st.tuples(
    st.sampled_from(["connect", "drop", "stall", "tell", "ask", "answer"]),
    st.integers(min_value=0, max_value=2),
)


@given(st.lists(EVENTS, max_size=40))
def test_a_device_gets_each_message_once_and_in_order_wherever_it_goes(events):
    world = World()
    for name, argument in events:
        getattr(world, name)(argument)
    world.connect(0)
    received, ids = [], {}
    for message in world.received:
        name = message["method"]
        if name in ids:
            # A request is repeated under the same id.
            assert ids[name] is not None
            assert ids[name] == message["id"]
        else:
            received.append(name)
            ids[name] = message.get("id")
    assert received == world.expected
    # The askers of all processes get an answer.
    for process in world.processes:
        assert all(response.status == 200 for response in process.told)
    told = sum(len(process.told) for process in world.processes)
    assert told == len(world.answered)


def test_a_local_transaction_is_both_halves():
    process = Process()
    process.connect()
    assert isinstance(process.ask(), LocalTransaction)
