"""Who is closed when a server goes away, and when; with a clock that is moved by hand."""

from __future__ import annotations

import pytest

from protoo_flask.core.draining import (
    BUSY,
    GONE,
    LONGEST,
    LOOKS,
    QUIET,
    RATE,
    SHORT,
    TICK,
    DrainPlan,
    Moments,
    count_stranded,
    find_state,
    write_reason,
)
from protoo_flask.core.response import Response
from protoo_flask.core.routing.router import Router
from protoo_flask.core.sendable import Sendable
from tests.fakes import Core

NOW = 1000.0


def test_the_reason_tells_the_seconds_with_two_decimals():
    assert write_reason(None) == "shutting down"
    assert write_reason(2.351) == "shutting down; retry-after=2.35"


# Moments


def test_moments_are_as_far_apart_as_the_rate_says():
    moments = Moments(rate=10)
    waits = [moments.take(NOW) for _ in range(10)]
    # The first may have come a look ago. Up to half a second, clients need not be told.
    assert waits[:6] == [None] * 6
    assert waits[6:] == pytest.approx([0.5, 0.6, 0.7, 0.8])


def test_a_client_is_told_exactly_from_the_shortest_time_on():
    moments = Moments(rate=1 / (SHORT + TICK))
    assert moments.take(NOW) is None
    assert moments.take(NOW) == pytest.approx(SHORT)


def test_a_pause_is_not_made_up_for_by_a_crowd():
    moments = Moments(rate=10)
    moments.take(NOW)
    came = 0
    while moments.has_come(NOW + 60):
        moments.take(NOW + 60)
        came += 1
    assert came == 2


# The plan


class Clients:
    """Clients by their names, and their states: quiet, but for those that a test sets."""

    def __init__(self, count, deadline=10.0):
        self.states = {f"c{number}": QUIET for number in range(count)}
        self.plan = DrainPlan(list(self.states), NOW + deadline, self.states.__getitem__)

    def take(self, seconds, has_successor=False):
        return self.plan.take_due(NOW + seconds, has_successor)


def names(farewells):
    return [farewell.client for farewell in farewells]


def test_nobody_is_left_where_nobody_is():
    clients = Clients(0)
    assert len(clients.plan) == 0
    assert clients.take(0) == clients.take(0, True) == clients.take(100) == []


@pytest.mark.parametrize("has_successor", [False, True])
def test_few_quiet_clients_are_closed_at_once_and_told_nothing(has_successor):
    clients = Clients(20)
    farewells = clients.take(0, has_successor)
    assert names(farewells) == list(clients.states)
    assert {farewell.retry_after for farewell in farewells} == {None}
    assert len(clients.plan) == 0


def test_with_a_successor_quiet_clients_are_closed_at_the_rate():
    clients = Clients(1000)
    counts = [len(clients.take(number * TICK, True)) for number in range(25)]
    assert sum(counts) == 1000
    assert max(counts[1:]) == pytest.approx(RATE * TICK, abs=1)
    assert all(farewell.retry_after is None for farewell in clients.take(0, True))


def test_with_a_successor_busy_clients_are_closed_when_they_are_quiet():
    clients = Clients(3)
    clients.states["c1"] = BUSY
    assert names(clients.take(0, True)) == ["c0", "c2"]
    assert clients.take(1, True) == []
    clients.states["c1"] = QUIET
    assert names(clients.take(2, True)) == ["c1"]


def test_one_look_is_bounded():
    clients = Clients(LOOKS + 1)
    clients.states.update(dict.fromkeys(list(clients.states)[:LOOKS], BUSY))
    assert clients.take(0, True) == []
    assert names(clients.take(TICK, True)) == [f"c{LOOKS}"]


def test_without_a_successor_everybody_stays_until_each_has_been_quiet():
    clients = Clients(3)
    clients.states["c0"] = BUSY
    assert clients.take(0) == []
    clients.states.update(c0=QUIET, c1=BUSY)  # there is always somebody who writes
    assert names(clients.take(1)) == ["c0", "c2"]
    assert clients.take(2) == []
    clients.states["c1"] = QUIET
    assert names(clients.take(3)) == ["c1"]
    assert len(clients.plan) == 0


def test_without_a_successor_each_client_gets_a_moment_of_its_own():
    clients = Clients(1000)
    waits = [farewell.retry_after for farewell in clients.take(0)]
    assert len(waits) == 1000
    told = [seconds for seconds in waits if seconds is not None]
    assert told == sorted(set(told))
    assert told[-1] == pytest.approx(999 / RATE - TICK)


def test_nobody_is_told_to_wait_longer_than_clients_do():
    clients = Clients(100_000)
    assert clients.take(0)[-1].retry_after == pytest.approx(LONGEST, abs=0.2)


@pytest.mark.parametrize("has_successor", [False, True])
def test_everybody_is_closed_exactly_at_the_deadline(has_successor):
    clients = Clients(2)
    clients.states.update(c0=BUSY, c1=BUSY)
    assert clients.take(9.999, has_successor) == []
    assert names(clients.take(10, has_successor)) == ["c0", "c1"]
    assert len(clients.plan) == 0


def test_those_that_are_left_at_the_deadline_come_back_behind_the_others():
    clients = Clients(1000, deadline=1)
    first = clients.take(0, True)
    rest = clients.take(1, True)
    assert len(first) + len(rest) == 1000
    assert rest[-1].retry_after == pytest.approx(len(rest) / RATE, abs=2 * TICK)


@pytest.mark.parametrize("has_successor", [False, True])
def test_clients_that_have_gone_are_forgotten(has_successor):
    clients = Clients(2)
    clients.states["c0"] = GONE
    assert names(clients.take(0, has_successor)) == ["c1"]
    assert len(clients.plan) == 0


def test_a_successor_that_turns_out_to_be_none():
    clients = Clients(1000)
    some = clients.take(0, True)
    assert 0 < len(some) < 1000
    rest = clients.take(TICK, False)  # the other workers end, too
    assert len(some) + len(rest) == 1000
    assert rest[-1].retry_after is not None


# The state of a peer


def no(peer):
    return False


def states_of(peer, is_told=no, is_engaged=no, **options):
    """Return the states without and with a cluster."""
    return [find_state(peer, moves, is_told, is_engaged, **options) for moves in (False, True)]


def test_an_idle_peer_is_quiet():
    assert states_of(Core().connect().peer) == [QUIET, QUIET]


def test_a_peer_without_a_link_has_gone():
    core = Core(grace_period=10)
    client = core.connect()
    client.drop()
    assert states_of(client.peer) == [GONE, GONE]


def test_a_peer_is_busy_while_a_handler_runs():
    router, seen = Router(), []
    router.get("/look", lambda req, next: seen.append(states_of(req.peer)) or req.reply(200))
    router.message("/look", lambda req, next: seen.append(states_of(req.peer)))
    client = Core(router).connect()
    client.request("get", "/look")
    client.notify("message", "/look")
    assert seen == [[BUSY, BUSY], [BUSY, BUSY]]
    assert states_of(client.peer) == [QUIET, QUIET]


def test_an_open_request_moves_to_another_node():
    router, open_requests = Router(), []
    router.get("/open", lambda req, next: open_requests.append(req))
    client = Core(router).connect()
    client.start_request("get", "/open")
    assert states_of(client.peer) == [BUSY, QUIET]
    open_requests[0].reply(200)
    assert states_of(client.peer) == [QUIET, QUIET]


def test_an_unanswered_request_of_the_server_moves_to_another_node():
    client = Core().connect()
    client.peer.send(Sendable("question"))
    assert states_of(client.peer) == [BUSY, QUIET]
    client.respond(client.take(), 200)
    assert states_of(client.peer) == [QUIET, QUIET]


def test_a_client_that_reads_slowly_is_busy():
    client = Core().connect()
    client.link.refused.add("anybody")
    assert states_of(client.peer) == [BUSY, QUIET]


def test_a_peer_in_a_call_is_busy():
    peer = Core().connect().peer
    assert states_of(peer, is_engaged=lambda other: other is peer) == [BUSY, QUIET]


def test_a_function_of_the_site_that_takes_a_response_keeps_its_peer():
    core, seen = Core(), []
    client, bob = core.connect(), core.connect("bob")
    application = core.application

    def look(response):
        seen.append(states_of(client.peer, application.is_told))
        seen.append(states_of(bob.peer, application.is_told))
        seen.append(application.is_telling)

    client.peer.send(Sendable("question"), look)
    client.respond(client.take(), 200)
    assert seen == [[BUSY, BUSY], [QUIET, QUIET], True]
    assert states_of(client.peer, application.is_told) == [QUIET, QUIET]
    assert not application.is_telling


def test_a_listener_of_an_event_keeps_the_peers_of_its_user():
    core, seen = Core(), []
    application = core.application
    core.framework.on_event.append(
        lambda event: (
            seen.append((application.is_told(event.subject), application.is_telling))
            if event.name == "peer_online"
            else None
        )
    )
    core.connect()
    assert seen == [(True, True)]
    assert not application.is_telling


# Requests that nobody can answer any more


def relay(req, next):
    """Send a request on to all devices of bob."""
    for peer in req.peer.directory.find("bob"):
        forwarded = Sendable("message", req.data)
        forwarded.sender = req.peer.address
        peer.outbound.start(forwarded, lambda response: None, None)


@pytest.fixture
def bobs():
    router = Router()
    router.message("/bob", relay)
    core = Core(router, grace_period=10)
    return core, core.connect(), core.connect("bob", "b1"), core.connect("bob", "b2")


def send_away(core, *clients):
    for client in clients:
        core.application.directory.send_away(client.peer, 1001, "shutting down")


def test_a_request_to_clients_that_were_closed_is_stranded(bobs):
    core, alice, *devices = bobs
    send_away(core, *devices)
    peers = [client.peer for client in devices]
    assert count_stranded(peers, [alice.peer]) == {}
    alice.start_request("message", "/bob")
    stranded = count_stranded(peers, [alice.peer])
    assert stranded == {("alice", "a1"): 1}
    assert states_of(alice.peer, stranded=1) == [QUIET, QUIET]
    alice.start_request("get", "/other")  # is answered 404
    alice.start_request("message", "/bob")
    assert count_stranded(peers, [alice.peer]) == {("alice", "a1"): 2}


def test_a_request_that_somebody_may_still_answer_is_not(bobs):
    core, alice, b1, b2 = bobs
    send_away(core, b1)
    alice.start_request("message", "/bob")
    assert count_stranded([b1.peer], [alice.peer, b2.peer]) == {}


def test_a_request_beside_the_stranded_ones_keeps_its_client_here(bobs):
    core, alice, *devices = bobs
    send_away(core, *devices)
    alice.start_request("message", "/bob")
    assert states_of(alice.peer, stranded=0) == [BUSY, QUIET]


# Closing one client


def test_with_a_grace_period_a_client_that_was_sent_away_is_waited_for():
    core = Core(grace_period=10)
    client = core.connect()
    send_away(core, client)
    send_away(core, client)
    assert client.link.closed == (1001, "shutting down")
    assert core.framework.told[2:] == [("peer_disconnect", "alice")]
    assert client.peer.notify("news")


def test_without_one_it_is_offline():
    core = Core()
    client = core.connect()
    transaction = client.peer.send(Sendable("question"))
    send_away(core, client)
    assert client.link.closed == (1001, "shutting down")
    assert core.framework.told[2:] == [("peer_offline", "alice"), ("user_offline", "alice")]
    response = transaction.wait()
    assert isinstance(response, Response)
    assert response.status == 410
