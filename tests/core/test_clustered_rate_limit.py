"""A rate limit of a cluster: nodes decide alone, and report what they have allowed."""

from __future__ import annotations

import random

import pytest

from protoo_flask.core.clustered_rate_limit import (
    PORTION,
    TRICKLE,
    ClusteredRateLimit,
    Spending,
)
from protoo_flask.core.rate_limit import make_buckets
from tests.cluster.contract.hosts import RecordingHost
from tests.cluster.in_process import Hub


class Nodes:
    """Nodes that have a limit together.

    :ivar allowed: the times at which something was allowed, and the cost.
    :ivar reports: how often the directory was asked.
    """

    def __init__(self, count, rate, burst):
        self.rate, self.burst = rate, burst
        self.hub = Hub()
        self.clusters = [self.hub.join(RecordingHost()) for _ in range(count)]
        self.allowed: list[tuple[float, float]] = []
        self.reports = 0
        self.limits = [self.make_limit(cluster) for cluster in self.clusters]

    def make_limit(self, cluster):
        scheduler = cluster.scheduler

        def spend(spending, then):
            self.reports += 1
            cluster.spend(spending, then)

        limit = make_buckets(scheduler, self.rate, self.burst)
        return ClusteredRateLimit("test", limit, scheduler, spend)

    @property
    def now(self):
        return self.hub.clock.time

    def take(self, node, name="alice", cost=1, *, surely=False):
        limit = self.limits[node]
        take = limit.take_surely if surely else limit.take
        is_allowed = not take(name, self.now, cost)
        if is_allowed:
            self.allowed.append((self.now, cost))
        return is_allowed

    def flood(self, node, count, *, settle=True, **options):
        """Take so often; returns how often it was allowed."""
        allowed = 0
        for _ in range(count):
            allowed += self.take(node, **options)
            if settle:
                self.hub.run()
        return allowed

    def assert_bound(self, cost=1):
        """Compare what was allowed in every interval with the bound that is promised."""
        n = len(self.limits)
        burst = self.burst + n * (PORTION * self.burst + cost) + 1e-6
        rate = self.rate * (1 + n * TRICKLE)
        for first, (start, _) in enumerate(self.allowed):
            total = 0.0
            for time, cost in self.allowed[first:]:
                total += cost
                assert total <= burst + rate * (time - start), (start, time, total)


def test_a_user_at_one_node_has_exactly_a_burst_and_the_rate():
    nodes = Nodes(2, rate=10, burst=100)
    assert nodes.flood(0, 150) == 100
    nodes.hub.advance(1)
    assert nodes.flood(0, 50) == 10


def test_nobody_is_asked_about_a_user_who_sends_little():
    nodes = Nodes(2, rate=10, burst=100)
    assert nodes.flood(0, 10) == 10
    for _ in range(100):
        nodes.hub.advance(1 / (TRICKLE * 10))
        assert nodes.take(0)
    assert nodes.reports == 0


def test_the_directory_is_asked_once_for_each_portion():
    nodes = Nodes(2, rate=10, burst=100)
    nodes.flood(0, 100)
    assert nodes.reports == 100 // 11


def test_users_at_two_nodes_share_a_bucket():
    nodes = Nodes(2, rate=10, burst=100)
    total = 0
    for _ in range(150):
        total += nodes.flood(0, 1) + nodes.flood(1, 1)
    assert 100 <= total <= 120
    nodes.hub.advance(2)
    assert nodes.flood(0, 100) + nodes.flood(1, 100) <= 20 + 20
    nodes.assert_bound()


def test_a_move_refills_nothing():
    nodes = Nodes(4, rate=10, burst=100)
    assert nodes.flood(0, 150) == 100
    moved = sum(nodes.flood(node, 150) for node in (1, 2, 3))
    # Each node finds out with its first report.
    assert moved <= 3 * 11
    assert sum(nodes.flood(node, 150) for node in (0, 1, 2, 3)) == 0
    nodes.assert_bound()


@pytest.mark.parametrize("burst", [1, 5, 9])
def test_a_small_burst_is_exact_for_a_caller_that_may_wait(burst):
    nodes = Nodes(2, rate=1, burst=burst)
    allowed = [nodes.take(number % 2, surely=True) for number in range(20)]
    assert allowed == [True] * burst + [False] * (20 - burst)
    nodes.hub.advance(1)
    assert [nodes.take(1, surely=True), nodes.take(0, surely=True)] == [True, False]


def test_a_refusal_after_waiting_tells_when_it_is_allowed():
    nodes = Nodes(2, rate=2, burst=5)
    for _ in range(5):
        nodes.take(0, surely=True)
    wait = nodes.limits[1].take_surely("alice", nodes.now)
    assert wait == pytest.approx(0.5)
    nodes.hub.advance(wait)
    assert nodes.take(1, surely=True)
    assert not nodes.take(1, surely=True)


def test_while_the_directory_is_away_each_node_has_its_own_bucket():
    nodes = Nodes(2, rate=10, burst=100)
    nodes.hub.go_away()
    assert nodes.flood(0, 150) == 100
    assert nodes.flood(1, 150, surely=True) == 100
    # Afterwards the debt is paid.
    nodes.hub.come_back(empty=True)
    nodes.hub.advance(1)
    assert nodes.flood(0, 50) + nodes.flood(1, 50) <= 20
    nodes.hub.advance(5)
    assert nodes.flood(0, 150) + nodes.flood(1, 150) <= 10 + 20
    nodes.hub.advance(60)
    assert nodes.flood(0, 150) == 100


def test_a_directory_that_was_emptied_refills_nothing_here():
    nodes = Nodes(2, rate=10, burst=100)
    assert nodes.flood(0, 150) == 100
    nodes.hub.go_away()
    nodes.hub.come_back(empty=True)
    assert nodes.flood(0, 150) == 0


def test_the_answer_of_a_directory_that_hangs_is_not_waited_for():
    nodes = Nodes(2, rate=1, burst=3)
    nodes.hub.cut(nodes.clusters[0])
    before = nodes.now
    assert nodes.take(0, surely=True)
    assert nodes.now - before < 1
    nodes.hub.mend(nodes.clusters[0])


def test_what_is_given_back_may_be_taken_again():
    nodes = Nodes(2, rate=1, burst=20)
    nodes.flood(0, 20)
    nodes.limits[0].give_back("alice", nodes.now)
    assert nodes.flood(0, 3) == 1


def test_names_of_several_parts_are_told_apart():
    nodes = Nodes(2, rate=1, burst=5)
    for name in [("alice", "a1"), ("alice", "a2"), "alice"]:
        assert nodes.flood(0, 6, name=name) == 5
        assert nodes.flood(1, 6, name=name, surely=True) == 0


@pytest.mark.parametrize("seed", range(12))
def test_whatever_nodes_do_the_bound_holds(seed):
    """Bursts, pauses, moves, costs, callers that wait and callers that do not."""
    rnd = random.Random(seed)
    nodes = Nodes(rnd.randint(1, 4), rate=rnd.choice([1, 10, 50]), burst=rnd.choice([20, 100]))
    for _ in range(60):
        node = rnd.randrange(len(nodes.limits))
        nodes.flood(node, rnd.randint(1, 40), surely=rnd.random() < 0.3, cost=rnd.choice([1, 1, 2]))
        if rnd.random() < 0.7:
            nodes.hub.advance(rnd.expovariate(2))
    nodes.assert_bound(cost=2)
    spent = sum(cost for _, cost in nodes.allowed)
    assert spent >= nodes.burst * 0.9  # and it lets something through


def test_what_is_allowed_while_a_report_is_on_its_way_is_owed():
    """Both nodes burst within one round trip: twice a burst at most, and then nothing for it."""
    nodes = Nodes(2, rate=10, burst=100)
    assert nodes.flood(0, 150, settle=False) == 100
    assert nodes.flood(1, 150, settle=False) == 100
    nodes.hub.run()
    nodes.hub.advance(8)
    assert nodes.flood(0, 50) + nodes.flood(1, 50) <= 2 * 10
    nodes.hub.advance(30)
    start = len(nodes.allowed)
    assert nodes.flood(0, 150) >= 90
    assert len(nodes.allowed) - start <= 120


def deficit_of_all(nodes):
    """Return how much all nodes have taken, as the directory knows, and has not been refilled."""
    nodes.hub.run()
    nothing = Spending("test\0alice", 0.0, nodes.burst / nodes.rate)
    return nodes.hub.tables.spend(nothing).deficit * nodes.rate


def test_what_was_allowed_since_a_report_counts_beside_its_reply():
    nodes = Nodes(2, rate=1, burst=100)
    assert nodes.flood(1, 88) == 88
    # The eleventh is reported, and five more come before the reply.
    assert nodes.flood(0, 16, settle=False) == 16
    assert deficit_of_all(nodes) == 99
    assert nodes.flood(0, 10) == 0


def test_what_others_have_refused_is_not_taken_here():
    nodes = Nodes(2, rate=1, burst=5)
    assert nodes.take(0, cost=3, surely=True)
    assert nodes.take(1, cost=1, surely=True)
    assert not nodes.take(0, cost=2, surely=True)
    assert nodes.take(0, cost=1, surely=True)


def test_what_was_reported_is_given_back_to_all():
    nodes = Nodes(2, rate=1, burst=5)
    nodes.flood(0, 2)
    assert deficit_of_all(nodes) == 2
    nodes.limits[0].give_back("alice", nodes.now)
    assert deficit_of_all(nodes) == 1
    assert nodes.flood(1, 9, surely=True) == 4


def test_what_was_allowed_before_a_refusal_is_reported_with_it():
    nodes = Nodes(2, rate=1, burst=20)
    nodes.flood(0, 2)
    assert nodes.flood(1, 20, surely=True) == 20
    assert deficit_of_all(nodes) == 18
    assert not nodes.take(0, surely=True)
    assert deficit_of_all(nodes) == 20
