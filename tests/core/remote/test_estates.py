"""A device that connects to another node than before is the same peer."""

from __future__ import annotations

import threading

import pytest

from protoo_flask.core.request import Request
from protoo_flask.core.routing.router import Router
from protoo_flask.core.wire.dialect import PROTOO, ProtooDialect
from tests.cluster.nodes import NodeClient, Nodes
from tests.fakes import FakeLink

GRACE = 10
ONLINE = [("peer_online", "alice"), ("user_online", "alice")]
OFFLINE = [("peer_offline", "alice"), ("user_offline", "alice")]


@pytest.fixture
def three():
    with Nodes(3, grace_period=GRACE) as nodes:
        yield nodes


def names(client):
    return [message["method"] for message in client.take_all()]


class Handlers:
    """Requests that stay open until a test answers them."""

    def __init__(self):
        self.router = Router()
        self.requests = []
        self.router.get("/open", lambda req, next: self.requests.append(req))
        self.router.get("/now", lambda req, next: req.reply(200))


# The same peer


def test_nobody_is_told_when_a_device_connects_to_another_node(three):
    a, b, c = three
    first = a.connect()
    second = b.connect()
    assert first.link.closed == (3000, "online elsewhere")
    assert a.told == ONLINE
    assert b.told == c.told == []
    assert second.peer.is_local
    assert not first.peer.is_local
    assert [peer.online for peer in c.peers("alice")] == [True]


def test_a_link_that_ends_in_its_thread_as_soon_as_it_is_retired_is_no_departure(three):
    a, b, _ = three
    first = a.connect()

    def end(code):
        first.inbox.closed(code)
        first.inbox.ended()

    ends = []

    def retire(code, reason):
        # Its client answers at once. In a process with threads, its thread takes note meanwhile.
        first.link.close(code, reason)
        ends.append(threading.Thread(target=end, args=(code,)))
        ends[0].start()
        ends[0].join(0.2)

    first.link.retire = retire
    second = b.connect()
    ends[0].join()
    assert a.told == ONLINE
    assert b.told == []
    assert second.peer.is_local
    assert not first.peer.is_local


def test_a_device_that_was_away_comes_back_to_another_node(three):
    a, b, _ = three
    a.connect().drop()
    assert a.told == [*ONLINE, ("peer_disconnect", "alice")]
    b.connect()
    assert b.told == [("peer_reconnect", "alice")]
    three.advance(GRACE)
    assert a.told == [*ONLINE, ("peer_disconnect", "alice")]
    assert b.told == [("peer_reconnect", "alice")]


def test_the_site_is_told_that_it_is_back_although_the_directory_never_heard_that_it_was_away(
    three, monkeypatch
):
    a, b, _ = three
    client = a.connect()
    monkeypatch.setattr(a.cluster, "mark", lambda *args: None)  # it is late
    client.drop()
    b.connect().leave()
    told = [*a.told, *b.told]
    names = [name for name, _ in told]
    assert [name for name in names if name.startswith("peer_")] == [
        "peer_online",
        "peer_disconnect",
        "peer_reconnect",
        "peer_offline",
    ]


def test_it_is_offline_at_the_node_where_it_leaves(three):
    a, b, _ = three
    a.connect()
    b.connect().leave()
    assert a.told == ONLINE
    assert b.told == OFFLINE


def test_what_waits_for_a_device_follows_it(three):
    a, b, c = three
    first = a.connect()
    for method in ("unanswered", "answered"):
        c.peers("alice")[0].send(Request(method))
    unanswered, answered = first.take_all()
    first.respond(answered, 200)
    first.drop()
    c.peers("alice")[0].notify("told")
    a.peers("alice")[0].notify("told here")
    a.peers("alice")[0].send(Request("asked here"))
    b.peers("alice")[0].notify("told there")
    second = b.connect()
    received = second.take_all()
    assert received[0] == unanswered
    told = [message["method"] for message in received[1:]]
    assert sorted(told) == ["asked here", "told", "told here", "told there"]
    assert told.index("told here") < told.index("asked here")


def test_messages_that_come_during_the_move_come_after_those_before(three):
    a, b, c = three
    first = a.connect()
    first.link.is_stuck = True
    c.peers("alice")[0].notify("before")
    three.run()
    three.hub.delay(b.cluster, a.cluster, 0.5)
    peer = c.peers("alice")[0]
    three.hub.clock.on_wait.append(lambda: peer.notify("meanwhile"))
    assert names(b.connect()) == ["before", "meanwhile"]


def test_who_asked_gets_the_answer_that_is_given_at_the_new_node(three):
    a, b, _c = three
    first = a.connect()
    transactions = [
        node.peers("alice")[0].send(Request("get"), timeout=timeout)
        for node in three
        for timeout in (10, 5)
    ]
    assert len(first.take_all()) == 6
    second = b.connect()
    for number, request in enumerate(second.take_all()):
        second.respond(request, 180, "soon")
        second.respond(request, 200, "OK", {"n": number})
    answers = [transaction.wait().data for transaction in transactions]
    assert sorted(answer["n"] for answer in answers) == list(range(6))


def test_who_has_peer_objects_keeps_them(three):
    a, b, c = three
    peers = [a.connect().peer, b.peers("alice")[0], c.peers("alice")[0]]
    second = b.connect()
    assert second.peer is peers[1]
    for peer in peers:
        assert peer.notify("hello")
        transaction = peer.send(Request("get"))
        told, asked = second.take_all()
        assert told["method"] == "hello"
        second.respond(asked, 200)
        assert transaction.wait().status == 200
    third = a.connect()
    assert third.peer is peers[0]
    assert second.link.closed == (3000, "online elsewhere")


def test_a_device_goes_round_all_nodes(three):
    clients = [three[0].connect()]
    transactions = [three[index % 3].peers("alice")[0].send(Request("get")) for index in range(3)]
    for index in range(1, 8):
        assert len(clients[-1].take_all()) == 3
        clients.append(three[index % 3].connect())
    for request in clients[-1].take_all():
        clients[-1].respond(request, 200)
    assert [transaction.wait().status for transaction in transactions] == [200] * 3
    assert three.told == ONLINE
    assert [client.link.closed for client in clients[:-1]] == [(3000, "online elsewhere")] * 7


# The requests of the client


def test_a_repeated_request_gets_the_answer_of_the_former_node():
    handlers = Handlers()
    with Nodes(2, routers=[handlers.router, Handlers().router], grace_period=GRACE) as nodes:
        a, b = nodes
        first = a.connect()
        request = {"method": "get", "path": "/now", "id": 7, "data": {"x": 1}}
        first.send(request)
        answer = first.take()
        second = b.connect()
        second.send(request)
        assert second.take() == answer
        second.send({**request, "data": {"x": 2}})
        assert second.take()["status"] == 200


def test_a_handler_of_the_former_node_answers_at_the_new_one():
    handlers, others = Handlers(), Handlers()
    with Nodes(2, routers=[handlers.router, others.router], grace_period=GRACE) as nodes:
        a, b = nodes
        first = a.connect()
        request = {"method": "get", "path": "/open", "id": 7}
        first.send(request)
        (open,) = handlers.requests
        open.reply(180, "ringing")
        ringing = first.take()
        second = b.connect()
        second.send(request)  # a repetition
        assert others.requests == []
        assert second.take() == ringing
        open.reply(183, "progress")
        open.reply(200, "OK", {"n": 1})
        progress, answer = second.take_all()
        assert (progress["status"], progress["id"]) == (183, 7)
        assert (answer["status"], answer["id"], answer["data"]) == (200, 7, {"n": 1})
        third = a.connect()
        third.send(request)
        assert third.take_all() == [ringing, answer]
        assert len(handlers.requests) == 1


def test_a_handler_answers_wherever_its_peer_has_gone_since():
    routers = [Handlers() for _ in range(3)]
    with Nodes(3, routers=[handlers.router for handlers in routers], grace_period=GRACE) as nodes:
        a, b, c = nodes
        a.connect().send({"method": "get", "path": "/open", "id": 7})
        b.connect()
        third = c.connect()
        routers[0].requests[0].reply(200)
        assert third.take()["id"] == 7


def test_a_handler_answers_directly_when_its_peer_is_back():
    handlers = Handlers()
    with Nodes(2, routers=[handlers.router, Router()], grace_period=GRACE) as nodes:
        a, b = nodes
        a.connect().send({"method": "get", "path": "/open", "id": 7})
        b.connect()
        third = a.connect()
        handlers.requests[0].reply(200)
        assert third.take()["id"] == 7


def test_a_relayed_request_is_answered_at_the_new_node():
    router = Router()
    nodes = Nodes(3, routers=[router, Router(), Router()], grace_period=GRACE)
    a, b, c = nodes

    def relay(req, next):
        a.peers("bob")[0].send(req, on_response=req.reply)

    with nodes:
        router.message("/bob", relay)
        bob = c.connect("bob", "b1")
        a.connect().send({"method": "message", "path": "/bob", "id": 3})
        hello = bob.take()
        second = b.connect()
        bob.respond(hello, 180)
        bob.respond(hello, 200, "hi")
        assert [message["status"] for message in second.take_all()] == [180, 200]


def test_requests_of_a_node_that_dies_are_answered():
    handlers = Handlers()
    with Nodes(2, routers=[handlers.router, Router()], grace_period=GRACE) as nodes:
        a, b = nodes
        a.connect().send({"method": "get", "path": "/open", "id": 7})
        second = b.connect()
        nodes.hub.kill(a.cluster)
        nodes.advance(GRACE)
        assert [message["status"] for message in second.take_all()] == [503]


def test_a_request_that_nobody_answers_ends_in_time():
    handlers = Handlers()
    with Nodes(
        2, routers=[handlers.router, Router()], grace_period=GRACE, response_timeout=3
    ) as nodes:
        a, b = nodes
        a.connect().send({"method": "get", "path": "/open", "id": 7})
        second = b.connect()
        nodes.advance(3)
        assert [message["status"] for message in second.take_all()] == [504]


# The askers


def test_a_request_that_is_canceled_after_the_move_is_not_sent_again(three):
    a, b, c = three
    first = a.connect()
    transaction = c.peers("alice")[0].send(Request("get"))
    first.take()
    second = b.connect()
    second.take()
    transaction.cancel()
    three.run()
    assert len(second.peer.outbound) == 0
    assert names(a.connect()) == []


def test_a_request_that_is_canceled_during_the_move_is_forgotten(three):
    a, b, c = three
    first = a.connect()
    transaction = c.peers("alice")[0].send(Request("get"))
    first.take()
    three.hub.delay(a.cluster, b.cluster, 0.5)
    three.hub.clock.on_wait.append(transaction.cancel)
    second = b.connect()
    three.run()
    assert transaction.wait().status == 487
    assert len(second.peer.outbound) == 0


def test_the_death_of_the_former_node_does_not_end_requests_that_have_moved(three):
    a, b, c = three
    a.connect()
    transaction = c.peers("alice")[0].send(Request("get"), timeout=1000)
    second = b.connect()
    three.hub.kill(a.cluster)
    three.advance(GRACE)
    second.respond(second.take(), 200)
    assert transaction.wait().status == 200


def test_the_death_of_the_new_node_ends_them(three):
    a, b, c = three
    a.connect()
    transactions = [node.peers("alice")[0].send(Request("get"), timeout=1000) for node in (a, c)]
    b.connect()
    three.hub.kill(b.cluster)
    three.advance(GRACE)
    assert [transaction.wait().status for transaction in transactions] == [503, 503]
    assert three.told.count(("peer_offline", "alice")) == 1


def test_cancel_finds_a_request_of_the_new_node(three):
    a, b, _ = three
    a.connect()
    request = Request("get")
    transaction = b.peers("alice")[0].send(request)
    second = b.connect()
    assert second.peer.cancel(request)
    assert transaction.wait().status == 487
    three.run()
    assert len(second.peer.outbound) == 0


# No estate


def test_a_device_of_a_dead_node_is_a_new_peer(three):
    a, b, c = three
    first = a.connect()
    known = b.peers("alice")[0]
    transaction = c.peers("alice")[0].send(Request("get"), timeout=1000)
    three.hub.kill(a.cluster)
    second = b.connect()
    assert second.peer is not known
    assert b.told == [*OFFLINE, *ONLINE]
    assert c.told == []
    three.advance(GRACE)
    assert b.told == [*OFFLINE, *ONLINE]
    assert transaction.wait().status in (410, 503)
    assert names(second) == []
    assert first.link.closed is None  # nobody could


def test_a_device_of_a_stopped_node_is_a_new_peer_and_the_node_finds_out(three):
    a, b, _c = three
    first = a.connect()
    three.hub.stop(a.cluster)
    second = b.connect()
    assert b.told == [*OFFLINE, *ONLINE]
    three.hub.resume(a.cluster)
    three.run()
    assert first.link.closed == (3000, "online elsewhere")
    assert a.told == ONLINE
    assert second.link.closed is None
    assert [peer.is_local for peer in b.peers("alice")] == [True]
    assert [peer.is_local for peer in a.peers("alice")] == [False]


def test_an_estate_that_comes_too_late_is_answered(three):
    a, b, c = three
    a.connect()
    transaction = c.peers("alice")[0].send(Request("get"), timeout=1000)
    three.hub.delay(a.cluster, b.cluster, 3)
    second = b.connect()
    assert b.told == [*OFFLINE, *ONLINE]
    three.advance(3)
    assert transaction.wait().status == 410
    assert names(second) == []


class Foreign(ProtooDialect):
    subprotocol = "foreign"


FOREIGN = Foreign()


class ForeignClient(NodeClient):
    dialect = FOREIGN


def test_a_device_that_speaks_another_dialect_is_a_new_peer(three):
    a, b, c = three
    first = a.connect()
    transaction = c.peers("alice")[0].send(Request("get"))
    second = b.connect(kind=ForeignClient)
    assert first.link.closed == (3000, "online elsewhere")
    assert b.told == [*OFFLINE, *ONLINE]
    assert a.told == ONLINE
    assert transaction.wait().status == 410
    assert second.peer.outbound.dialect is not PROTOO


def test_a_device_that_leaves_too_much_is_a_new_peer(three, monkeypatch):
    monkeypatch.setattr("protoo_flask.core.remote.estate_transfer.MAX_ESTATE", 500)
    a, b, _c = three
    first = a.connect()
    transactions = [
        node.peers("alice")[0].send(Request("get", {"text": "x" * 600})) for node in three
    ]
    second = b.connect()
    assert [transaction.wait().status for transaction in transactions] == [410] * 3
    assert names(second) == []
    assert first.link.closed == (3000, "online elsewhere")
    assert b.told == [*OFFLINE, *ONLINE]


# At the same moment


def test_two_nodes_claim_a_device_at_once(three):
    a, b, c = three
    first = a.connect()
    transaction = a.peers("alice")[0].send(Request("get"))
    first.take()
    three.hub.delay(b.cluster, a.cluster, 0.3)
    clients = []
    three.hub.clock.on_wait.append(lambda: clients.append(c.connect()))
    link = FakeLink()
    with pytest.raises(Exception, match="online elsewhere"):
        b.connect(link=link)
    (last,) = clients
    assert last.link.closed is None
    last.respond(last.take(), 200)
    assert transaction.wait().status == 200
    assert three.told == ONLINE


def test_two_nodes_claim_a_device_of_one_that_is_silent(three):
    a, b, c = three
    a.connect()
    three.hub.stop(a.cluster)
    clients = []
    three.hub.clock.on_wait.append(lambda: clients.append(c.connect()))
    with pytest.raises(Exception, match="online elsewhere"):
        b.connect(link=FakeLink())
    (last,) = clients
    assert last.link.closed is None
    told = sorted([*b.told, *c.told])
    assert told == sorted([*OFFLINE, *ONLINE])
    three.hub.resume(a.cluster)
    three.run()
    assert last.link.closed is None


def test_a_device_is_back_at_its_node_before_the_other_one_has_asked(three):
    a, b, c = three
    first = a.connect()
    transaction = c.peers("alice")[0].send(Request("get"))
    request = first.take()
    first.drop()
    three.hub.delay(b.cluster, a.cluster, 0.3)
    clients = []
    three.hub.clock.on_wait.append(lambda: clients.append(a.connect()))
    with pytest.raises(Exception, match="online elsewhere"):
        b.connect(link=FakeLink())
    (last,) = clients
    three.advance(1)
    assert last.link.closed is None
    assert last.take() == request
    last.respond(request, 200)
    assert transaction.wait().status == 200
    assert last.peer is first.peer


def test_a_device_comes_back_elsewhere_when_its_time_is_up(three):
    a, b, c = three
    first = a.connect()
    first.drop()
    three.hub.delay(b.cluster, a.cluster, 0.3)
    three.advance(GRACE - 0.1)
    # The timer fires while the other node asks.
    second = b.connect()
    three.advance(1)
    assert second.link.closed is None
    told = [*a.told, *b.told]
    assert told.count(("peer_online", "alice")) - told.count(("peer_offline", "alice")) == 1
    assert told.count(("user_online", "alice")) - told.count(("user_offline", "alice")) == 1
    assert len(told) <= 7
    assert [peer.online for peer in c.peers("alice")] == [True]


def test_a_device_that_is_disconnected_while_it_moves_stays_away(three):
    a, b, c = three
    a.connect()
    three.hub.delay(b.cluster, a.cluster, 0.3)
    three.hub.clock.on_wait.append(lambda: c.application.disconnect("alice", None, 3001, "banned"))
    with pytest.raises(Exception, match="banned"):
        b.connect(link=FakeLink())
    three.advance(1)
    assert c.peers("alice") == []
    told = three.told
    assert told.count(("peer_offline", "alice")) == 1
    assert told.count(("peer_online", "alice")) == 1


def test_a_handshake_that_is_not_admitted_leaves_the_peer_away(three):
    a, b, c = three
    first = a.connect()
    transaction = c.peers("alice")[0].send(Request("get"))
    first.take()
    arrivals = b.application.runtime.arrivals
    three.hub.delay(b.cluster, a.cluster, 0.3)
    three.hub.clock.on_wait.append(lambda: arrivals.turn_away("alice", None, 1001, "not now"))
    with pytest.raises(Exception, match="not now"):
        b.connect(link=FakeLink())
    assert [peer.online for peer in b.peers("alice")] == [False]
    third = c.connect()
    third.respond(third.take(), 200)
    assert transaction.wait().status == 200


# Calls and rooms


def test_engagements_follow_the_peer(three):
    a, b, c = three
    first = a.connect()
    c.application.directory.homes.engage(c.peers("alice")[0], "calls", "1.x")
    three.run()
    here = a.application.directory.homes
    assert here.engagements(first.peer, "calls") == {"1.x": c.node}
    second = b.connect()
    there = b.application.directory.homes
    assert there.engagements(second.peer, "calls") == {"1.x": c.node}
    assert here.engagements(first.peer, "calls") == {}
    c.application.directory.homes.disengage(c.peers("alice")[0], "calls", "1.x")
    three.run()
    assert there.engagements(second.peer, "calls") == {}


def test_listeners_of_a_peer_are_told_where_they_are(three):
    a, b, _c = three
    first = a.connect()
    told = []
    first.peer.on("offline", lambda peer: told.append(peer))
    second = b.connect()
    assert told == []
    second.leave()
    three.run()
    assert told == [first.peer]
