"""The homes of calls and rooms: requests that are forwarded, engagements, users that change."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from protoo_flask.core.cluster.items import Cancel, Engage, Engagement, ToHome
from protoo_flask.core.cluster.places import User
from protoo_flask.core.errors import Reject
from protoo_flask.core.remote.asks import AskOfNode
from protoo_flask.core.remote.comparison import INTERVAL
from protoo_flask.core.request import Request
from protoo_flask.core.response import Response
from tests.cluster.nodes import BURIAL_TIME, Nodes


class Club:
    """A service that answers with what it sees."""

    def __init__(self):
        self.seen = []
        self.lost = []
        self.refusal = None
        self.open = []

    def handle_at_home(self, verb, request):
        self.seen.append((verb, request))
        if verb == "refuse":
            raise Reject(403, "not here")
        if verb == "fail":
            raise ValueError("a fault of the service")
        if verb == "later":
            request.keep_open()
            self.open.append(request)
            return
        request.reply(100, "wait")
        request.reply(200, verb, {"path": request.path, "params": dict(request.params)})

    def check_arrival(self, peer, engagement):
        return self.refusal

    def home_lost(self, peer, key):
        self.lost.append((peer, key))


class Clubs:
    """Two nodes; the club is at home at the second one, and Alice is connected to the first."""

    def __init__(self):
        self.services = [Club(), Club()]
        self.nodes = Nodes(0, grace_period=10)
        self.hub = self.nodes.hub
        for service in self.services:
            self.nodes.add(services={"club": service})
        self.a, self.b = self.nodes
        self.verb = "join"
        #: What the site adds to the data of a request.
        self.addition = None

        @self.a.router.all("/club/:name")
        def forward(req, next):
            homes = req.peer.directory.homes
            if self.addition is not None:
                req.data["addition"] = self.addition
            homes.forward(req, self.b.node, "club", self.verb)

        self.alice = self.a.connect("alice", "a1")

    @property
    def homes(self):
        return [core.application.directory.homes for core in self.nodes]

    @property
    def remote_alice(self):
        [alice] = self.b.peers("alice")
        return alice

    def ask(self, verb="join"):
        self.verb = verb
        self.alice.start_request("session", "/club/chess", {"n": 1})


@pytest.fixture
def clubs():
    clubs = Clubs()
    yield clubs
    clubs.nodes.finish()


def test_a_request_is_handled_at_its_home_and_answered_from_there(clubs):
    clubs.ask()
    first, last = clubs.alice.take_all()
    assert (first["status"], last["status"], last["reason"]) == (100, 200, "join")
    assert last["data"] == {"path": "/club/chess", "params": {"name": "chess"}}
    [(verb, request)] = clubs.services[1].seen
    assert (verb, request.method, request.data) == ("join", "session", {"n": 1})
    assert request.peer is clubs.remote_alice
    assert request.sender == {"username": "alice", "uuid": "a1"}


def test_a_notification_is_forwarded_without_an_answer(clubs):
    clubs.alice.notify("session", "/club/chess")
    [(_, request)] = clubs.services[1].seen
    assert request.is_notification
    assert clubs.alice.take_all() == []


@pytest.mark.parametrize(("verb", "status"), [("refuse", 403), ("fail", 500)])
def test_errors_of_a_service_are_answered(clubs, verb, status):
    clubs.ask(verb)
    assert clubs.alice.take()["status"] == status


def test_a_request_whose_data_cannot_be_written_is_answered(clubs):
    clubs.addition = object()
    clubs.ask()
    assert clubs.alice.take()["status"] == 500  # and nothing waits for an answer


def test_requests_at_a_home_that_dies_are_answered_503(clubs):
    clubs.ask("later")
    clubs.nodes.run()
    assert clubs.alice.take_all() == []
    clubs.hub.kill(clubs.b.cluster)
    clubs.nodes.advance(BURIAL_TIME)
    assert clubs.alice.take()["status"] == 503
    clubs.ask()
    assert clubs.alice.take()["status"] == 503
    assert not clubs.homes[0].is_alive(clubs.b.cluster.node)


def test_a_request_that_its_home_still_handles_is_not_taken_for_lost(clubs):
    clubs.ask("later")
    clubs.nodes.run()
    clubs.a.application.directory.host.may_have_lost(clubs.b.node)
    assert clubs.alice.take_all() == []
    [request] = clubs.services[1].open
    request.reply(200, "done")
    assert clubs.alice.take()["reason"] == "done"


def test_a_lost_answer_of_a_home_is_repeated(clubs):
    clubs.ask("later")
    clubs.nodes.run()
    [request] = clubs.services[1].open
    with clubs.hub.lose_items(clubs.b.cluster, clubs.a.cluster):
        request.reply(200, "done")
        clubs.nodes.run()
    assert clubs.alice.take_all() == []
    clubs.remote_alice.notify("hello")
    assert [message.get("reason") for message in clubs.alice.take_all()] == [None, "done"]


def test_a_service_of_another_version_is_refused(clubs):
    told = []
    clubs.homes[0].ask(clubs.alice.peer, clubs.b.node, "casino", "join", {}, told.append)
    clubs.nodes.run()
    assert [response.status for response in told] == [410]


def test_a_home_is_asked_on_behalf_of_a_peer(clubs):
    told = []
    clubs.homes[0].ask(clubs.alice.peer, clubs.b.node, "club", "leave", {"x": 1}, told.append)
    clubs.nodes.run()
    assert [response.status for response in told] == [100, 200]
    [(verb, request)] = clubs.services[1].seen
    assert (verb, request.data) == ("leave", {"x": 1})


def test_the_first_who_asks_takes_the_home(clubs):
    first, second = clubs.homes
    home = first.take("rooms", "/42")
    assert home == second.take("rooms", "/42") == clubs.a.node
    assert first.is_here(home)
    assert not second.is_here(home)
    first.leave("rooms", "/42")
    clubs.nodes.run()
    assert second.take("rooms", "/42") == clubs.b.node
    second.leave("rooms", "/42")


def test_a_home_cannot_be_taken_while_the_directory_is_away(clubs):
    clubs.hub.go_away()
    clubs.nodes.run()
    with pytest.raises(Reject) as caught:
        clubs.homes[0].take("rooms", "/42")
    assert caught.value.code == 503
    clubs.hub.come_back()


def test_the_owner_of_a_peer_knows_its_engagements_until_the_home_is_lost(clubs):
    first, second = clubs.homes
    second.engage(clubs.remote_alice, "club", "chess")
    clubs.nodes.run()
    assert first.engagements(clubs.alice.peer, "club") == {"chess": clubs.b.node}
    second.engage(clubs.remote_alice, "club", "go")
    second.disengage(clubs.remote_alice, "club", "chess")
    clubs.nodes.run()
    assert first.engagements(clubs.alice.peer, "club") == {"go": clubs.b.node}
    clubs.hub.kill(clubs.b.cluster)
    clubs.nodes.advance(BURIAL_TIME)
    assert clubs.services[0].lost == [(clubs.alice.peer, "go")]
    assert first.engagements(clubs.alice.peer, "club") == {}


def test_a_peer_that_moves_while_its_home_dies_is_told_where_it_arrives(clubs):
    service = Club()
    c = clubs.nodes.add(services={"club": service})
    clubs.homes[1].engage(clubs.remote_alice, "club", "chess")
    clubs.hub.kill(clubs.b)
    clubs.nodes.advance(BURIAL_TIME - 0.3)
    clubs.hub.delay(clubs.a, c, 0.6)
    alice = c.connect("alice", "a1")
    clubs.nodes.run()
    assert clubs.b.cluster.node in clubs.hub.graves
    assert service.lost == [(alice.peer, "chess")]
    assert c.application.directory.homes.engagements(alice.peer, "club") == {}


def test_an_engagement_that_is_passed_on_after_the_death_of_the_home_is_none(clubs):
    service = Club()
    c = clubs.nodes.add(services={"club": service})
    alice = c.connect("alice", "a1")
    clubs.hub.delay(clubs.a, c, BURIAL_TIME + 1)
    # By a home that has not heard of the move.
    clubs.b.cluster.send(clubs.a.node, Engage("alice", "a1", "club", "chess", True))
    clubs.nodes.run()
    clubs.hub.kill(clubs.b)
    clubs.nodes.advance(BURIAL_TIME + 2)
    assert c.application.directory.homes.engagements(alice.peer, "club") == {}
    assert service.lost == [(alice.peer, "chess")]


def test_the_engagements_of_a_local_peer_are_kept_as_well(clubs):
    [homes, _] = clubs.homes
    homes.engage(clubs.alice.peer, "club", "chess")
    assert homes.engagements(clubs.alice.peer, "club") == {"chess": clubs.a.node}
    homes.disengage(clubs.alice.peer, "club", "chess")
    assert homes.engagements(clubs.alice.peer, "club") == {}


def test_a_request_of_another_node_may_be_refused_on_its_arrival(clubs):
    clubs.services[0].refusal = Response(486, "busy here")
    engagement = Engagement("club", "chess")
    alice = clubs.remote_alice
    transaction = alice.outbound.start(Request("session"), None, 10, engagement=engagement)
    clubs.nodes.run()
    assert (transaction.response.status, transaction.response.reason) == (486, "busy here")
    assert clubs.alice.take_all() == []


@pytest.mark.parametrize("is_emptied", [False, True])
def test_who_watches_a_user_is_told_nothing_while_the_directory_is_away(clubs, is_emptied):
    told = []
    clubs.b.connect("bob", "b1")

    def watch(peers):
        told.append([peer.uuid for peer in peers])

    homes = clubs.homes[0]
    homes.watch("bob", watch)
    clubs.nodes.run()
    del told[:]
    clubs.hub.go_away()
    # A change from just before: when the function is about to be called, nobody knows of what.
    [[entry]] = homes.tables["watches"].values()
    entry.note(User())
    clubs.nodes.advance(5)
    assert told == []
    clubs.hub.come_back(empty=is_emptied)
    clubs.nodes.advance(5)
    assert told
    assert all(peers == ["b1"] for peers in told)
    homes.unwatch("bob", watch)


def test_who_watches_a_user_is_told_of_all_devices(clubs):
    told = []

    def watch(peers):
        told.append({peer.uuid: peer.online for peer in peers})

    homes = clubs.homes[0]
    homes.watch("bob", watch)
    clubs.nodes.run()
    near, far = clubs.a.connect("bob", "b1"), clubs.b.connect("bob", "b2")
    clubs.nodes.run()
    assert told[0] == {}
    assert told[-1] == {"b1": True, "b2": True}
    far.drop()
    clubs.nodes.run()
    assert told[-1] == {"b1": True, "b2": False}
    clubs.nodes.advance(10)
    assert told[-1] == {"b1": True}
    homes.unwatch("bob", watch)
    near.leave()
    clubs.nodes.run()
    assert told[-1] == {"b1": True}


# Items that are lost ---------------------------------------------------------------------


def talk(clubs):
    """Let both nodes send an item, which tells the other one that some were lost."""
    for sender, receiver in [(clubs.a, clubs.b), (clubs.b, clubs.a)]:
        sender.cluster.send(receiver.node, Cancel(1))
    clubs.nodes.advance(INTERVAL)


@pytest.mark.parametrize("way", ["lost", "away"])
def test_an_owner_learns_of_an_engagement_later_that_it_was_not_told_of(clubs, way):
    homes = clubs.homes[1]
    alice = clubs.remote_alice
    with trouble(clubs, way):
        homes.engage(alice, "club", "chess")
        clubs.nodes.run()
    talk(clubs)
    assert clubs.homes[0].engagements(clubs.alice.peer, "club") == {"chess": clubs.b.node}
    with trouble(clubs, way):
        homes.disengage(alice, "club", "chess")
        clubs.nodes.run()
    assert clubs.homes[0].engagements(clubs.alice.peer, "club") == {"chess": clubs.b.node}
    talk(clubs)
    assert clubs.homes[0].engagements(clubs.alice.peer, "club") == {}


@contextmanager
def trouble(clubs, way):
    if way == "lost":
        with clubs.hub.lose_items(clubs.b.cluster, clubs.a.cluster):
            yield
    else:
        clubs.hub.go_away()
        clubs.nodes.run()
        yield
        clubs.hub.come_back()


def test_a_watch_is_told_when_the_directory_is_back_just_while_it_is_asked(clubs):
    core, told = clubs.b, []
    directory, homes = core.application.directory, clubs.homes[1]
    find = directory.find_for_certain

    def find_nothing_and_come_back(username):
        directory.find_for_certain = find
        homes.status_changed()  # before the one who asked goes on

    directory.find_for_certain = find_nothing_and_come_back
    homes.watch("alice", told.append)
    clubs.nodes.run()
    assert told == [[clubs.remote_alice]]
    homes.unwatch("alice", told.append)


# Too much, and what nobody understands ---------------------------------------------------


def test_requests_of_a_device_that_wait_at_a_home_are_bounded(clubs, monkeypatch):
    monkeypatch.setattr("protoo_flask.core.remote.visits.MAX_VISITS", 5000)
    service, statuses = clubs.services[1], []
    handle = service.handle_at_home

    def send_many(verb, request):
        service.handle_at_home = handle
        # While this one is handled, the next ones wait.
        for _ in range(10):
            clubs.homes[0].ask(
                clubs.alice.peer, clubs.b.node, "club", "join", {"text": "x" * 500},
                lambda response: statuses.append(response.status),
            )  # fmt: skip
        clubs.nodes.run()
        assert statuses == [503] * 8
        handle(verb, request)

    service.handle_at_home = send_many
    clubs.ask()
    assert [message["status"] for message in clubs.alice.take_all()] == [100, 200]
    assert statuses == [503] * 8 + [100, 200] * 2


def test_a_request_that_a_home_cannot_read_is_answered_500(clubs):
    statuses = []
    number = clubs.a.application.directory.exchange.next_number()
    ask = AskOfNode(clubs.b.node, clubs.alice.peer, lambda answer: statuses.append(answer.status))
    clubs.a.application.directory.exchange.put(number, ask)
    item = ToHome(number, "club", "join", "alice", "a1", "get", ("/", "", "/"), b"[]", b"{")
    with pytest.raises(ValueError, match="truncated"):
        clubs.b.application.directory.host.receive(clubs.a.node, item)
    clubs.nodes.run()
    assert statuses == [500]
