"""Outbound messages wait for a device that is away, and are sent in order at its return."""

from __future__ import annotations

from protoo_flask.core.peers.peer import DISCONNECTED, Identity
from protoo_flask.core.request import Request
from protoo_flask.core.wire.dialect import PROTOO
from tests.core.devices import Device
from tests.fakes import FakeLink

# Order


def test_unanswered_requests_are_sent_again_with_their_ids_before_waiting_messages():
    device = Device()
    answered, unanswered = device.peer.send(Request("a")), device.peer.send(Request("b"))
    device.client.respond(device.client.take(), 200)
    sent = device.client.take()
    device.drop()
    assert device.peer.notify("c")
    during = device.peer.send(Request("d"))
    assert device.peer.notify("e")
    assert during.response is None
    device.connect()
    messages = device.client.take_all()
    assert [message["method"] for message in messages] == ["b", "c", "d", "e"]
    assert messages[0] == sent
    device.client.respond(messages[0], 201)
    device.client.respond(messages[2], 202)
    assert [transaction.response.status for transaction in (answered, unanswered, during)] == [
        *(200, 201, 202)
    ]


def test_messages_that_the_lost_link_could_not_send_keep_their_place():
    device = Device()
    sent = device.peer.send(Request("a"))
    device.client.take()
    device.client.link.is_stuck = True
    device.peer.notify("b")
    stuck = device.peer.send(Request("c"))
    device.peer.notify("d")
    device.drop()
    device.peer.notify("e")
    device.connect()
    messages = device.client.take_all()
    assert [message["method"] for message in messages] == ["a", "b", "c", "d", "e"]
    assert [messages[0]["id"], messages[2]["id"]] == [sent.id, stuck.id]


def test_messages_sent_between_the_end_of_a_link_and_its_notice_keep_their_place():
    device = Device()
    device.client.link.closed = (1006, "")  # the directory has not been told yet
    assert device.peer.notify("a")
    transaction = device.peer.send(Request("b"))
    device.drop()
    device.peer.notify("c")
    device.connect()
    assert [message["method"] for message in device.client.take_all()] == ["a", "b", "c"]
    assert transaction.response is None


def test_waiting_messages_are_sent_before_those_of_listeners_of_the_return():
    device = Device()
    device.core.framework.on_event.append(
        lambda event: event.name == "peer_reconnect" and event.subject.notify("welcome")
    )
    device.drop()
    device.peer.notify("waited")
    device.connect()
    assert [message["method"] for message in device.client.take_all()] == ["waited", "welcome"]


def test_every_return_sends_unanswered_requests_again():
    device = Device(request_timeout=1000)
    transaction = device.peer.send(Request("a"))
    for _ in range(3):
        (message,) = device.client.take_all()
        assert message["id"] == transaction.id
        device.drop()
        device.connect()


def test_thousands_of_requests_in_flight_survive_a_drop():
    device = Device(request_timeout=1000)
    transactions = [device.peer.send(Request("get", {"n": n})) for n in range(5000)]
    for message in device.client.take_all()[::2]:
        device.client.respond(message, 200)
    device.drop()
    device.connect()
    again = device.client.take_all()
    assert [message["data"]["n"] for message in again] == list(range(1, 5000, 2))
    for message in again:
        device.client.respond(message, 200)
    assert all(transaction.response.status == 200 for transaction in transactions)
    assert len(device.peer.outbound) == 0
    assert device.core.scheduler.pending_timers == 0


def test_a_link_is_reachable_before_it_gets_the_waiting_messages():
    device = Device()
    device.drop()
    device.peer.notify("a")
    link, sent_before = FakeLink(), []
    identity = Identity("alice", "a1")
    device.directory.claim(
        identity, link, device.peer.context, PROTOO, lambda: sent_before.extend(link.payloads)
    )
    assert sent_before == []
    assert len(link.payloads) == 1
    device.peer.close()


def test_messages_that_a_new_link_is_too_slow_to_take_wait_for_the_next():
    device = Device()
    device.drop()
    for n in range(5):
        device.peer.notify("n", {"n": n})

    class SlowLink(FakeLink):
        def send(self, payload, id=None):
            return len(self.payloads) < 2 and super().send(payload)

    slow = SlowLink()
    device.directory.claim(Identity("alice", "a1"), slow, device.peer.context, PROTOO)
    device.peer.notify("n", {"n": 5})
    assert len(slow.payloads) == 2
    device.directory.link_closed(device.peer, slow, 1008)
    device.connect()
    assert [message["data"]["n"] for message in device.client.take_all()] == [2, 3, 4, 5]


# The end of a wait


def test_a_request_that_ends_meanwhile_is_not_delivered_any_more():
    device = Device(request_timeout=3)
    device.drop()
    late = device.peer.send(Request("late"))
    canceled = device.peer.send(Request("canceled"))
    canceled.cancel()
    device.core.scheduler.advance(3)
    assert (late.response.status, canceled.response.status) == (408, 487)
    assert device.peer.outbound.mailbox.size == 0
    device.connect()
    assert device.client.take_all() == []


def test_waiting_messages_end_with_the_peer():
    device = Device()
    device.drop()
    transaction = device.peer.send(Request("a"))
    device.peer.notify("b")
    device.expire()
    assert (transaction.response.status, transaction.response.is_local) == (410, True)
    assert not device.peer.notify("c")
    assert device.peer.send(Request("d")).response.status == 410
    device.connect()
    assert device.client.take_all() == []


def test_a_request_to_a_device_that_is_away_times_out_like_any_other():
    device = Device(request_timeout=3)
    device.drop()
    assert device.peer.request("get").status == 408
    assert device.peer.state == DISCONNECTED
