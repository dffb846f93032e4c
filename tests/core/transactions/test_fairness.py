"""One user cannot have another given up, or keep the messages of others out."""

from __future__ import annotations

import pytest

from protoo_flask.core.peers.peer import broadcast
from protoo_flask.core.request import Request
from protoo_flask.core.transactions.client import OF_CORE, RELAYED, URGENT
from protoo_flask.core.transactions.unanswered import (
    MAX_SENT,
    MAX_UNANSWERED,
    MAX_UNANSWERED_OF_EACH,
    MAX_UNANSWERED_OF_PEERS,
    REQUEST_SIZE,
)
from tests.fakes import Core

LIMIT = 64 * 1024
TEXT = "x" * 1000

MALLORY = {"username": "mallory", "uuid": "m1"}
CAROL = {"username": "carol", "uuid": "c1"}


def request(sender=None, text=TEXT):
    made = Request("message", {"text": text})
    made.sender = sender
    return made


class Target:
    """Alice's device, which reads slowly, or not at all, or is away."""

    def __init__(self, **options):
        self.core = Core(grace_period=60, max_waiting=LIMIT, **options)
        self.alice = self.core.connect("alice", "a1")
        self.peer = self.alice.peer
        self.outbound = self.peer.outbound

    def send(self, sender, text=TEXT, kind=OF_CORE):
        return self.outbound.start(request(sender, text), None, 10, kind)

    def flood(self, sender, **options):
        """Send until a request is refused; returns the refusal, and how many were taken."""
        for count in range(20_000):
            response = self.send(sender, **options).response
            if response is not None:
                return response, count
        raise AssertionError("nothing was refused")


# A slow reader


def test_a_request_of_a_user_without_room_is_answered_503_and_the_reader_stays():
    target = Target()
    target.alice.link.refused.add("mallory")
    response = target.send(MALLORY).response
    assert (response.status, response.reason) == (503, "reads too slowly")
    assert response.is_local
    assert response.data == {"retryAfter": 5}
    assert target.send(CAROL).response is None
    assert target.send(None).response is None
    assert len(target.outbound) == len(target.alice.take_all()) == 2
    assert target.peer.online


def test_a_notification_of_a_user_without_room_is_not_counted_as_received():
    target = Target()
    bob = target.core.connect("bob", "b1")
    target.alice.link.refused.add("mallory")
    assert broadcast([target.peer, bob.peer], "note", {}, MALLORY) == 1
    assert broadcast([target.peer, bob.peer], "note", {}, CAROL) == 2
    assert broadcast([target.peer, bob.peer], "note", {}) == 2
    assert target.peer.notify("note", {}, MALLORY) is False
    assert len(target.alice.take_all()) == 2


def test_provisional_answers_without_room_are_dropped_and_the_final_one_is_not():
    core = Core()
    handled = []
    core.router.all("/", lambda req, next: handled.append(req))
    alice = core.connect("alice", "a1")
    alice.start_request("get", "/")
    alice.link.refused.add("")
    handled[0].reply(180, "ringing")
    handled[0].reply(200)
    assert [message["status"] for message in alice.take_all()] == [200]
    assert alice.peer.online


# A peer that is away


def test_a_flood_to_a_peer_that_is_away_leaves_room_for_others_and_for_the_site():
    target = Target()
    target.alice.drop()
    refusal, count = target.flood(MALLORY)
    assert (refusal.status, refusal.reason) == (503, "reads too slowly")
    assert LIMIT // 16 < count * len(TEXT) < LIMIT // 8
    assert target.send(CAROL).response is None
    assert broadcast([target.peer], "note", {"text": TEXT}, MALLORY) == 0
    assert broadcast([target.peer], "note", {"text": TEXT}, CAROL) == 1
    assert target.peer.state == "disconnected"
    assert target.peer.notify("from the site", {"text": LIMIT // 2 * "x"})
    alice = target.core.connect("alice", "a1")
    assert len(alice.take_all()) == count + 3


def test_the_own_messages_of_the_site_give_a_peer_up_as_before():
    target = Target()
    target.alice.drop()
    target.flood(MALLORY)
    while target.peer.notify("from the site", {"text": TEXT}):
        pass
    assert target.peer.state == "offline"


def test_unanswered_requests_of_others_do_not_end_a_grace_period_before_it_begins():
    target = Target()
    for _ in range(LIMIT // 500):
        assert target.send(MALLORY).response is None
    target.alice.drop()
    assert target.peer.state == "disconnected"
    alice = target.core.connect("alice", "a1")
    assert len(alice.take_all()) == LIMIT // 500


# A peer that does not answer


@pytest.mark.parametrize("kind", [RELAYED, OF_CORE])
def test_a_flood_that_is_not_answered_leaves_room_for_others(kind):
    target = Target()
    text = "x" * 60_000
    refusal, count = target.flood(MALLORY, text=text, kind=kind)
    assert (refusal.status, refusal.reason) == (503, "too much is unanswered")
    assert refusal.data == {"retryAfter": 5}
    assert MAX_UNANSWERED_OF_EACH < count * 60_000 < 2 * MAX_UNANSWERED_OF_EACH
    assert target.send(CAROL, kind=kind).response is None
    assert target.send(MALLORY, kind=URGENT).response is None
    assert target.send(None).response is None


def test_many_users_leave_room_for_the_site_and_everything_is_given_back():
    target = Target()
    for number in range(10):
        target.flood({"username": f"mallory-{number}", "uuid": "m"}, text="x" * 60_000)
    assert target.outbound.unanswered.size <= MAX_UNANSWERED_OF_PEERS
    assert target.send(CAROL, text="x" * 60_000).response.status == 503
    while target.send(None, text="x" * 60_000).response is None:
        pass
    assert MAX_UNANSWERED - 62_000 < target.outbound.unanswered.size <= MAX_UNANSWERED
    target.core.scheduler.advance(10)
    runtime = target.core.application.runtime
    unanswered = target.outbound.unanswered
    assert unanswered.size == unanswered._shares.total == runtime.sent.total == 0
    assert len(runtime.sent) == len(unanswered._shares) == 0


def test_the_number_of_tiny_requests_is_bounded_by_the_memory_that_each_takes():
    target = Target()
    refusal, count = target.flood(None, text="")
    assert refusal.status == 503
    assert MAX_UNANSWERED / (REQUEST_SIZE + 100) < count < MAX_UNANSWERED / REQUEST_SIZE


def test_what_one_user_sends_to_many_silent_devices_is_bounded_together():
    core = Core(max_peers_per_user=64)
    peers = [core.connect("bob", f"b{n}").peer for n in range(40)]
    refused = 0
    for _ in range(20):
        for peer in peers:
            made = peer.outbound.start(request(MALLORY, "x" * 50_000), None, 10, OF_CORE)
            refused += made.response is not None
    total = sum(peer.outbound.unanswered.size for peer in peers)
    assert MAX_SENT - 52_000 < total <= MAX_SENT
    assert refused
    assert peers[0].outbound.start(request(CAROL), None, 10, OF_CORE).response is None
    core.scheduler.advance(10)
    assert core.application.runtime.sent.total == 0


def test_provisional_responses_count_for_the_user_whose_request_they_answer():
    core = Core()
    bob = core.connect("bob", "b1")
    transaction = bob.peer.send(request(MALLORY))
    sent = core.application.runtime.sent
    before = sent.of("mallory")
    for _ in range(3):
        bob.send({"status": 183, "id": transaction.id, "data": {"text": TEXT}})
    assert sent.of("mallory") > before + 2000
    bob.send({"status": 200, "id": transaction.id})
    assert sent.total == 0
