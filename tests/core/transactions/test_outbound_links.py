"""Outbound messages and their links: attaching, detaching, transmitting, releasing, closing."""

from __future__ import annotations

import pytest

from protoo_flask.core.request import Request
from protoo_flask.core.transactions import unanswered as unanswered_module
from protoo_flask.core.transactions.client import OF_CORE, OF_SITE, URGENT
from protoo_flask.core.transactions.mailbox import MESSAGE_SIZE
from protoo_flask.core.transactions.outbound import AT_ONCE, Outbound, SharedOutbound
from protoo_flask.core.wire.dialect import PROTOO
from tests.fakes import Core, FakeLink


class Endpoint:
    """A peer, as far as its outbound messages need one."""

    def __init__(self, kind=Outbound, **options):
        self.runtime = Core(**options).application.runtime
        self.outbound = kind(self, self.runtime, PROTOO)
        self.username = "bob"
        self.given_up = []
        self.called_back = []

    def call_back(self, function, response):
        self.called_back.append(response.status)

    def give_up(self, mailbox):
        self.given_up.append(mailbox)

    def ask(self, method="get", timeout=None, kind=OF_SITE, **data):
        return self.outbound.start(Request(method, data), None, timeout, kind)


@pytest.fixture(params=[Outbound, SharedOutbound])
def endpoint(request):
    endpoint = Endpoint(request.param, max_waiting=3 * (MESSAGE_SIZE + 200))
    endpoint.outbound.may_wait = True
    return endpoint


def payloads(*names):
    return [name.encode() for name in names]


# Transmitting


def test_a_message_goes_to_the_link(endpoint):
    link = FakeLink()
    endpoint.outbound.attach(link)
    assert endpoint.outbound.transmit(b"a") is True
    assert link.payloads == [b"a"]
    assert endpoint.outbound.mailbox is None


def test_a_message_without_a_link_waits_in_the_mailbox_for_the_next(endpoint):
    assert endpoint.outbound.transmit(b"a") is True
    assert endpoint.outbound.transmit(b"b") is True
    link = FakeLink()
    endpoint.outbound.attach(link)
    assert link.payloads == payloads("a", "b")
    assert endpoint.outbound.mailbox is None


def test_a_message_without_a_link_is_refused_when_none_may_wait(endpoint):
    endpoint.outbound.may_wait = False
    assert endpoint.outbound.transmit(b"a") is False
    assert endpoint.outbound.mailbox is None


def test_a_message_that_the_link_refuses_waits_in_the_mailbox(endpoint):
    link = FakeLink()
    endpoint.outbound.attach(link)
    link.close(1008, "slow consumer")
    assert endpoint.outbound.transmit(b"a") is True
    assert endpoint.outbound.mailbox.items() == [(b"a", None)]


def test_the_peer_is_given_up_with_the_mailbox_that_is_full(endpoint):
    for name in "abc":
        assert endpoint.outbound.transmit(name.encode() * 200) is True
    assert endpoint.given_up == []
    assert endpoint.outbound.transmit(b"d" * 200) is False
    assert endpoint.given_up == [endpoint.outbound.mailbox]


def test_a_request_for_which_the_mailbox_is_full_ends_with_a_local_410(endpoint):
    for name in "abc":
        endpoint.outbound.transmit(name.encode() * 200)
    transaction = endpoint.ask()
    assert endpoint.given_up == [endpoint.outbound.mailbox]
    assert (transaction.response.status, transaction.response.is_local) == (410, True)
    assert len(endpoint.outbound) == endpoint.outbound.unanswered.size == 0


def test_a_message_to_a_peer_that_nobody_keeps_gives_nobody_up():
    endpoint = Endpoint(max_waiting=1)
    outbound = endpoint.outbound
    outbound.may_wait = True
    del endpoint
    assert outbound.transmit(b"a") is True
    assert outbound.transmit(b"b") is False


# Attaching and detaching


def test_a_link_is_reachable_then_gets_the_waiting_messages_then_becomes_the_link(endpoint):
    outbound = endpoint.outbound
    outbound.transmit(b"a")
    order = []

    class Watchful(FakeLink):
        def send(self, payload, id=None):
            order.append((payload, outbound.link))
            return super().send(payload, id)

    link = Watchful()
    outbound.attach(link, lambda: order.append("reachable"))
    assert order == ["reachable", (b"a", None)]
    assert outbound.link is link


def test_undelivered_messages_are_unanswered_then_unsent_then_later_ones(endpoint):
    outbound = endpoint.outbound
    first, second = FakeLink(), FakeLink()
    outbound.attach(first)
    unanswered = endpoint.ask("unanswered")
    first.is_stuck = True
    outbound.transmit(b"unsent")
    stuck = endpoint.ask("stuck")
    first.close(1006, "")
    outbound.transmit(b"later")
    outbound.attach(second)
    assert second.payloads == [unanswered.payload, b"unsent", stuck.payload, b"later"]


def test_detaching_keeps_the_messages_and_lets_the_link_go(endpoint):
    outbound = endpoint.outbound
    link = FakeLink()
    outbound.attach(link)
    transaction = endpoint.ask()
    link.is_stuck = True
    outbound.transmit(b"a")
    mailbox = outbound.detach()
    assert outbound.link is None
    assert outbound.mailbox is mailbox
    assert mailbox.items() == [(transaction.payload, transaction.id), (b"a", None)]


def test_detaching_from_a_link_that_leaves_too_much_returns_no_mailbox(endpoint):
    outbound = endpoint.outbound
    link = FakeLink()
    outbound.attach(link)
    link.is_stuck = True
    for name in "abcd":
        outbound.transmit(name.encode() * 200)
    assert outbound.detach() is None
    assert outbound.link is link


def test_after_closing_no_message_is_taken_or_kept(endpoint):
    outbound = endpoint.outbound
    link = FakeLink()
    outbound.attach(link)
    outbound.close()
    assert outbound.transmit(b"a") is False
    assert endpoint.ask().response.status == 410
    assert (outbound.link, outbound.mailbox, link.payloads) == (None, None, [])


# Requests that have ended


@pytest.mark.parametrize("end", ["cancel", "timeout", "answer"])
@pytest.mark.parametrize("way", ["by a takeover", "after an absence"])
def test_a_request_that_ended_before_the_old_link_could_send_it_is_not_sent_any_more(
    endpoint, end, way
):
    outbound = endpoint.outbound
    link = FakeLink()
    outbound.attach(link)
    link.is_stuck = True
    outbound.transmit(b"a")
    transaction = endpoint.ask(timeout=10)
    outbound.transmit(b"b")
    if end == "cancel":
        transaction.cancel()
    elif end == "timeout":
        endpoint.runtime.scheduler.advance(10)
    else:
        assert outbound.release(transaction) is True
    if way == "after an absence":
        assert outbound.detach().items() == [(b"a", None), (b"b", None)]
    link = FakeLink()
    outbound.attach(link)
    assert link.payloads == payloads("a", "b")


@pytest.mark.parametrize("end", ["cancel", "timeout"])
def test_a_request_that_ends_in_the_mailbox_is_not_sent_any_more(endpoint, end):
    outbound = endpoint.outbound
    outbound.transmit(b"a")
    transaction = endpoint.ask(timeout=10)
    outbound.transmit(b"b")
    transaction.cancel() if end == "cancel" else endpoint.runtime.scheduler.advance(10)
    link = FakeLink()
    outbound.attach(link)
    assert link.payloads == payloads("a", "b")


# Releasing


def test_a_request_is_released_once_with_its_size_its_timer_and_its_place(endpoint):
    outbound = endpoint.outbound
    transaction = endpoint.ask(timeout=10)
    assert (len(outbound), len(endpoint.runtime.transactions)) == (1, 1)
    assert outbound.unanswered.size == transaction.size > len(transaction.payload)
    assert outbound.release(transaction) is True
    assert outbound.release(transaction) is False
    assert len(outbound) == len(endpoint.runtime.transactions) == outbound.unanswered.size == 0
    assert outbound.mailbox.items() == []


def test_a_request_is_found_until_its_transaction_has_ended(endpoint):
    outbound = endpoint.outbound
    request = Request("get")
    transaction = outbound.start(request, None, None)
    assert outbound.find(request) is transaction
    assert outbound.find(Request("get")) is None
    transaction.cancel()
    assert outbound.find(request) is None


def test_all_transactions_end_with_the_same_response(endpoint):
    transactions = [endpoint.ask(n=n) for n in range(2)]
    endpoint.outbound.finish_all(410, "peer offline")
    assert [transaction.response.status for transaction in transactions] == [410, 410]
    assert len(endpoint.outbound) == 0


@pytest.mark.parametrize(("count", "times"), [(AT_ONCE - 1, 0), (AT_ONCE, 1), (3 * AT_ONCE - 1, 2)])
def test_others_have_their_turns_while_many_transactions_end(endpoint, count, times):
    scheduler = endpoint.outbound.runtime.scheduler
    scheduler.preempts = False  # as among greenlets
    endpoint.outbound.attach(FakeLink())
    transactions = [endpoint.ask(n=n) for n in range(count)]
    ended = []

    class Event:
        def wait(self, timeout):
            assert timeout == 0
            ended.append(sum(one.response is not None for one in transactions))

    scheduler.event = Event
    endpoint.outbound.finish_all(410, "peer offline")
    assert ended == [AT_ONCE * (1 + number) for number in range(times)]
    assert len(endpoint.outbound) == 0


# Kinds of requests


def test_only_an_urgent_request_is_sent_when_too_much_is_unanswered(monkeypatch):
    monkeypatch.setattr(unanswered_module, "MAX_UNANSWERED", 150)
    endpoint = Endpoint()
    link = FakeLink()
    endpoint.outbound.attach(link)
    endpoint.ask(text="x" * 60)
    refused = [endpoint.ask(kind=kind, text="x" * 60) for kind in (OF_SITE, OF_CORE)]
    urgent = endpoint.ask(kind=URGENT, text="x" * 60)
    assert [transaction.response.status for transaction in refused] == [503, 503]
    assert urgent.response is None
    assert len(link.payloads) == 2


@pytest.mark.parametrize(("kind", "called"), [(OF_SITE, True), (OF_CORE, False), (URGENT, False)])
def test_only_callbacks_of_the_site_are_called_by_the_peer(kind, called):
    endpoint = Endpoint()
    told = []
    endpoint.outbound.attach(FakeLink())
    transaction = endpoint.outbound.start(Request("get"), told.append, None, kind)
    transaction.cancel()
    assert endpoint.called_back == ([487] if called else [])
    assert [response.status for response in told] == ([] if called else [487])


# Another dialect
