"""Rooms whose members are connected to different nodes of a cluster."""

from __future__ import annotations

import pytest
from werkzeug.exceptions import HTTPException, abort

from protoo_flask.features.missed_news import RETRY
from protoo_flask.features.rooms.room_homes import MOVED, TRIES
from tests.features.node_sites import NodeSites
from tests.features.sites import address, status_line

from .room_sites import (
    ALICE,
    BOB,
    CAROL,
    ROOM,
    RoomSite,
    join,
    keep_books,
    notification,
    told,
)

DAVE = "dave/d1"


class RoomNodes(NodeSites):
    """Nodes with rooms at /chat."""

    def __init__(self, count=2, *, on_room=None, max_peers=50, max_rooms=100, **options):
        def make_site(core):
            limits = {"max_peers": max_peers, "max_rooms": max_rooms}
            return RoomSite(core=core, on_room=on_room, **limits)

        super().__init__(make_site, count, **options)

    @property
    def made(self):
        """The rooms that were made, at all nodes."""
        return [room for site in self for room in site.made]

    @property
    def homes(self):
        """Return the homes that the directory knows."""
        return self.hub.tables.homes

    def check_empty(self):
        super().check_empty()
        for site in self:
            if site.core.is_alive:
                for rooms in site.services().values():
                    homes = rooms.homes
                    tables = (rooms, rooms._rooms_of, rooms._memberships, rooms._untold)
                    assert [len(table) for table in tables] == [0, 0, 0, 0]
                    assert [len(homes), len(homes.departures), len(rooms._news)] == [0, 0, 0]


def join_all(*clients):
    for client in clients:
        join(client)
    for client in clients:
        client.take_all()


# As in one process ---------------------------------------------------------------------


def test_members_of_two_nodes_are_in_one_room():
    with RoomNodes() as nodes:
        alice, bob = nodes.connect(ALICE, 0), nodes.connect(BOB, 1)
        assert join(alice) == []
        assert join(bob) == [ALICE]
        assert told(alice) == ["join bob/b1"]
        assert join(bob) == [ALICE]
        assert told(alice) == []
        assert status_line(bob.request("end", ROOM)) == (200, "left")
        assert told(alice) == ["leave bob/b1"]
        assert status_line(bob.request("message", ROOM)) == (403, "you are not in this room")
        assert len(nodes.made) == 1


def test_a_message_goes_to_the_members_at_all_nodes():
    with RoomNodes(3) as nodes:
        clients = [nodes.connect(name, node) for node, name in enumerate([ALICE, BOB, CAROL])]
        join_all(*clients)
        names = [ALICE, BOB, CAROL]
        for client, name in zip(clients, names):
            answer = client.request("message", ROOM, {"text": "hi"})
            assert answer["data"] == {"sent": 2}
            assert status_line(answer) == (200, "message sent to 2 peers")
            for other in clients:
                expected = (
                    [] if other is client else [notification("message", sender=name, text="hi")]
                )
                assert other.take_all() == expected


@pytest.mark.parametrize(("sender", "receiver"), [(0, 1), (1, 0), (1, 2)])
def test_a_private_request_reaches_a_member_at_another_node(sender, receiver):
    with RoomNodes(3) as nodes:
        names = [ALICE, BOB, CAROL]
        clients = [nodes.connect(name, node) for node, name in enumerate(names)]
        join_all(*clients)
        data = {"peer": address(names[receiver]), "offer": "..."}
        id = clients[sender].start_request("private", ROOM, data)
        request = clients[receiver].take()
        assert request["data"] == {**data, "sessionPath": ROOM}
        assert request["sender"] == address(names[sender])
        clients[receiver].respond(request, 180, "ringing")
        clients[receiver].respond(request, 200, "fine", {"answer": "..."})
        assert clients[sender].take_all() == [
            {"status": 180, "reason": "ringing", "id": id, "data": {}},
            {"status": 200, "reason": "fine", "id": id, "data": {"answer": "..."}},
        ]


def test_a_private_notification_reaches_a_member_at_another_node():
    with RoomNodes() as nodes:
        alice, bob = nodes.connect(ALICE, 0), nodes.connect(BOB, 1)
        join_all(alice, bob)
        bob.notify("private", ROOM, {"peer": address(ALICE), "candidate": "..."})
        assert alice.take_all() == [
            notification("private", sender=BOB, peer=address(ALICE), candidate="...")
        ]


@pytest.mark.parametrize("method", ["message", "private", "end", "mute"])
@pytest.mark.parametrize(("node", "status"), [(0, 404), (1, 404)])
def test_a_request_for_a_room_without_members_makes_none(method, node, status):
    with RoomNodes() as nodes:
        alice = nodes.connect(ALICE, node)
        assert alice.request(method, ROOM)["status"] == status
        nodes.run()
        assert nodes.homes == {}


@pytest.mark.parametrize("method", ["message", "private", "end", "mute"])
def test_a_request_of_a_peer_that_is_not_in_is_refused_by_the_home(method):
    with RoomNodes() as nodes:
        join(nodes.connect(ALICE, 0))
        bob = nodes.connect(BOB, 1)
        assert status_line(bob.request(method, ROOM)) == (403, "you are not in this room")


def test_the_listeners_are_called_at_the_home_in_order():
    books = []
    with RoomNodes(on_room=keep_books(books)) as nodes:
        alice, bob = nodes.connect(ALICE, 0), nodes.connect(BOB, 1)
        join_all(alice, bob)
        alice.request("end", ROOM)
        bob.request("end", ROOM)
        nodes.run()
        assert books == [
            *("room 42", "join a1", "join b1"),
            *("leave a1", "leave b1", "close 42"),
        ]


def test_the_application_may_refuse_a_peer_of_another_node():
    def on_room(room, req):
        room.on("join_request", lambda room, req: req.peer.username == "bob" and req.reply(403))

    with RoomNodes(on_room=on_room) as nodes:
        alice, bob = nodes.connect(ALICE, 0), nodes.connect(BOB, 1)
        join(alice)
        assert bob.request("session", ROOM)["status"] == 403
        assert told(alice) == []


def test_a_refused_room_has_no_home():
    def on_room(room, req):
        req.reply(404, "no such lesson")

    with RoomNodes(on_room=on_room) as nodes:
        for node, name in enumerate([ALICE, BOB]):
            answer = nodes.connect(name, node).request("session", ROOM)
            assert status_line(answer) == (404, "no such lesson")
            nodes.run()
            assert nodes.homes == {}


def test_a_request_for_the_application_is_handled_at_the_home():
    def on_room(room, req):
        @room.on("request")
        def answer(room, req):
            names = [peer.username for peer in room.peers]
            req.reply(200, req.method, {"of": req.peer.username, "peers": names})

    with RoomNodes(on_room=on_room) as nodes:
        alice, bob = nodes.connect(ALICE, 0), nodes.connect(BOB, 1)
        join_all(alice, bob)
        answer = bob.request("count", ROOM)
        assert status_line(answer) == (200, "count")
        assert answer["data"] == {"of": "bob", "peers": ["alice", "bob"]}


def test_a_member_of_another_node_is_asked_removed_and_told():
    with RoomNodes() as nodes:
        alice, bob = nodes.connect(ALICE, 0), nodes.connect(BOB, 1)
        join_all(alice, bob)
        (room,) = nodes.made
        far = next(peer for peer in room.peers if peer.username == "bob")

        answers = []
        room.send(far, "mute", {"n": 1}, on_response=answers.append)
        request = bob.take()
        assert (request["method"], request["data"]) == ("mute", {"n": 1, "sessionPath": ROOM})
        bob.respond(request, 200, "muted")
        nodes.run()
        assert [(answer.status, answer.reason) for answer in answers] == [(200, "muted")]

        assert room.broadcast("news", {"n": 2}) == 2
        assert bob.take_all() == alice.take_all() == [notification("news", n=2)]

        assert room.remove(far, "be polite")
        end = bob.take()
        assert (end["method"], end["data"]) == ("end", {"reason": "be polite", "sessionPath": ROOM})
        bob.respond(end, 200)
        assert told(alice) == ["leave bob/b1"]
        assert not room.remove(far)
        assert join(bob) == [ALICE]


def test_a_closed_room_ends_for_the_members_of_all_nodes():
    with RoomNodes() as nodes:
        alice, bob = nodes.connect(ALICE, 0), nodes.connect(BOB, 1)
        join_all(alice, bob)
        assert nodes.made[0].close("the lesson is over") == 2
        for client in (alice, bob):
            end = client.take()
            data = {"reason": "the lesson is over", "sessionPath": ROOM}
            assert (end["method"], end["data"]) == ("end", data)
            client.respond(end, 200)
        nodes.run()
        assert nodes.homes == {}
        assert join(bob) == []
        assert nodes[1].room.peers == [bob.peer]


def test_a_full_room_is_full_for_a_peer_of_another_node():
    with RoomNodes(max_peers=1) as nodes:
        join(nodes.connect(ALICE, 0))
        answer = nodes.connect(BOB, 1).request("session", ROOM)
        assert status_line(answer) == (503, "room is full")


def test_a_peer_is_in_as_many_rooms_of_all_nodes_as_it_may():
    with RoomNodes(max_rooms=3) as nodes:
        alice, bob = nodes.connect(ALICE, 0), nodes.connect(BOB, 1)
        join(alice, "/chat/rooms/1")
        join(alice, "/chat/rooms/2")
        for number in (1, 2, 3):
            join(bob, f"/chat/rooms/{number}")
        answer = bob.request("session", "/chat/rooms/4")
        assert status_line(answer) == (429, "you are in 3 rooms already, which is the limit")
        assert join(bob, "/chat/rooms/1") == [ALICE]
        bob.request("end", "/chat/rooms/2")
        alice.take_all()
        join(bob, "/chat/rooms/4")


def test_joins_in_progress_count_among_the_rooms_of_a_peer():
    with RoomNodes(max_rooms=1, parallel_requests=2) as nodes:
        alice, bob = nodes.connect(ALICE, 0), nodes.connect(BOB, 1)
        join(alice, "/chat/rooms/1")
        nodes.hub.delay(nodes.cores[1].cluster, nodes.cores[0].cluster, 1.0)
        bob.start_request("session", "/chat/rooms/1")
        assert bob.request("session", "/chat/rooms/2")["status"] == 429
        nodes.advance(1.0)
        assert status_line(bob.take()) == (200, "joined")


# Homes -----------------------------------------------------------------------------------


def test_two_nodes_join_first_at_the_same_time_and_one_is_the_home():
    with RoomNodes() as nodes:
        alice, bob = nodes.connect(ALICE, 0), nodes.connect(BOB, 1)
        homes = nodes.cores[0].application.directory.homes
        take = homes.take

        def take_later(service, key):
            del homes.take
            join(bob)
            return take(service, key)

        homes.take = take_later
        assert join(alice) == [BOB]
        assert [len(site.made) for site in nodes] == [0, 1]
        assert told(bob) == ["join alice/a1"]


def test_the_home_is_given_up_when_the_last_has_left():
    with RoomNodes() as nodes:
        alice, bob = nodes.connect(ALICE, 0), nodes.connect(BOB, 1)
        for first, second in ((alice, bob), (bob, alice)):
            join_all(first, second)
            first.request("end", ROOM)
            assert list(nodes.homes.values()) == [first.core.node]
            assert told(second) == [f"leave {first.peer.username}/{first.peer.uuid}"]
            second.request("end", ROOM)
            nodes.run()
            assert nodes.homes == {}


def test_a_join_that_arrives_at_a_home_just_given_up_finds_a_new_room():
    with RoomNodes() as nodes:
        alice, bob = nodes.connect(ALICE, 0), nodes.connect(BOB, 1)
        join(alice)
        nodes.hub.delay(nodes.cores[1].cluster, nodes.cores[0].cluster, 1.0)
        bob.start_request("session", ROOM)
        alice.request("end", ROOM)
        nodes.advance(1.0)
        assert bob.take()["data"] == {"peers": [], "sessionPath": ROOM}
        assert [len(site.made) for site in nodes] == [2, 0]
        nodes.hub.delay(nodes.cores[1].cluster, nodes.cores[0].cluster, 0.0)


def test_a_join_that_arrives_at_a_home_just_given_up_follows_the_room_to_another_node():
    with RoomNodes(3) as nodes:
        alice, bob, carol = (nodes.connect(name, n) for n, name in enumerate([ALICE, BOB, CAROL]))
        join(alice)
        nodes.hub.delay(nodes.cores[1].cluster, nodes.cores[0].cluster, 1.0)
        bob.start_request("session", ROOM)
        alice.request("end", ROOM)
        join(carol)
        nodes.advance(1.0)
        answer = bob.take()
        assert (status_line(answer), answer["data"]["peers"]) == (
            (200, "joined"),
            [address(CAROL)],
        )
        assert told(carol) == ["join bob/b1"]


def describe_http_error(error):
    """Describe an error as a Flask site does."""
    return (error.code, error.name) if isinstance(error, HTTPException) else None


@pytest.mark.parametrize("has_moved", [False, True], ids=["at its home", "after the room moved"])
def test_a_status_that_on_room_aborts_with_is_the_answer_to_a_join(has_moved):
    def on_room(room, req):
        if req.peer.username == "bob":
            abort(404)

    with RoomNodes(on_room=on_room) as nodes:
        for core in nodes.cores:
            core.framework.describe_error = describe_http_error
        alice, bob = nodes.connect(ALICE, 0), nodes.connect(BOB, 1)
        if has_moved:
            join(alice)
            nodes.hub.delay(nodes.cores[1].cluster, nodes.cores[0].cluster, 1.0)
            bob.start_request("session", ROOM)
            alice.request("end", ROOM)
            (rooms,) = nodes[0].services().values()
            rooms.homes.join_at_home = lambda req, path, join_here: req.reply(MOVED)
            nodes.advance(1.0)
            nodes.hub.delay(nodes.cores[1].cluster, nodes.cores[0].cluster, 0.0)
        else:
            bob.start_request("session", ROOM)
        assert status_line(bob.take()) == (404, "Not Found")


def test_a_status_that_a_listener_aborts_with_at_the_home_is_the_answer():
    def on_room(room, req):
        room.on("join_request", lambda room, req: abort(409) if req.peer.username == "bob" else 0)
        room.on("request", lambda room, req: abort(410))

    with RoomNodes(on_room=on_room) as nodes:
        for core in nodes.cores:
            core.framework.describe_error = describe_http_error
        alice, bob, carol = (nodes.connect(name, name != ALICE) for name in (ALICE, BOB, CAROL))
        join(alice)
        assert bob.request("session", ROOM)["status"] == 409
        join(carol)
        assert carol.request("paint", ROOM)["status"] == 410


def test_a_join_that_never_catches_up_with_the_room_is_told_to_try_again():
    with RoomNodes() as nodes:
        alice, bob = nodes.connect(ALICE, 0), nodes.connect(BOB, 1)
        join(alice)
        (rooms,) = nodes[0].services().values()
        tries = []

        def turn_away(req, path, join_here):
            tries.append(path)
            req.reply(MOVED)

        rooms.homes.join_at_home = turn_away
        answer = bob.request("session", ROOM)
        assert status_line(answer) == (MOVED.status, MOVED.reason)
        assert tries == [ROOM] * TRIES
        del rooms.homes.join_at_home
        assert join(bob) == [ALICE]


# Departures --------------------------------------------------------------------------------


@pytest.mark.parametrize("goes", [0, 1])
def test_a_member_that_goes_offline_leaves(goes):
    with RoomNodes() as nodes:
        clients = [nodes.connect(ALICE, 0), nodes.connect(BOB, 1)]
        join_all(*clients)
        clients[goes].leave()
        assert told(clients[1 - goes]) == [f"leave {[ALICE, BOB][goes]}"]


def test_a_member_stays_within_its_grace_period_and_gets_what_it_has_missed():
    with RoomNodes(grace_period=5) as nodes:
        alice, bob = nodes.connect(ALICE, 0), nodes.connect(BOB, 1)
        join_all(alice, bob)
        bob.drop()
        nodes.advance(4)
        assert alice.request("message", ROOM, {"text": "hi"})["data"] == {"sent": 1}
        bob = nodes.connect(BOB, 1)
        assert bob.take_all() == [notification("message", sender=ALICE, text="hi")]
        bob.drop()
        nodes.advance(6)
        assert told(alice) == ["leave bob/b1"]


def test_a_join_that_arrives_later_than_the_news_that_its_peer_has_gone_leaves_no_member():
    with RoomNodes() as nodes:
        alice, bob = nodes.connect(ALICE, 0), nodes.connect(BOB, 1)
        join(alice)
        nodes.hub.delay(nodes.cores[1].cluster, nodes.cores[0].cluster, 1.0)
        bob.start_request("session", ROOM)
        bob.leave()
        nodes.advance(2.0)
        assert nodes.made[0].peers == [alice.peer]
        assert told(alice) in ([], ["join bob/b1", "leave bob/b1"])


def test_members_of_a_node_that_is_killed_leave():
    with RoomNodes(3) as nodes:
        alice, bob, carol = (nodes.connect(name, n) for n, name in enumerate([ALICE, BOB, CAROL]))
        join_all(alice, bob, carol)
        nodes.bury(1)
        assert told(alice) == told(carol) == ["leave bob/b1"]


def test_the_members_of_a_home_that_is_killed_are_told_and_join_anew():
    with RoomNodes(3) as nodes:
        alice, bob, carol = (nodes.connect(name, n) for n, name in enumerate([ALICE, BOB, CAROL]))
        join_all(alice, bob, carol)
        nodes.bury(0)
        for client in (bob, carol):
            (end,) = client.take_all()
            data = {"reason": "server lost", "sessionPath": ROOM}
            assert (end["method"], end["data"]) == ("end", data)
            client.respond(end, 200)
        assert join(bob) == []
        assert join(carol) == [BOB]
        assert list(nodes.homes.values()) == [nodes.cores[1].node]


def test_a_member_that_is_away_when_its_home_is_killed_is_told_when_it_is_back():
    with RoomNodes(grace_period=30) as nodes:
        alice, bob = nodes.connect(ALICE, 0), nodes.connect(BOB, 1)
        join_all(alice, bob)
        bob.drop()
        nodes.bury(0)
        bob = nodes.connect(BOB, 1)
        assert [message["method"] for message in bob.take_all()] == ["end"]


# Faults --------------------------------------------------------------------------------------


def test_joins_are_refused_while_the_directory_is_away(caplog):
    with RoomNodes() as nodes:
        alice, bob = nodes.connect(ALICE, 0), nodes.connect(BOB, 1)
        join_all(alice, bob)
        nodes.hub.go_away()
        assert bob.request("session", "/chat/rooms/43")["status"] == 503
        assert bob.request("message", ROOM)["status"] == 503
        assert bob.request("message", "/chat/rooms/43")["status"] == 503
        assert caplog.records == []  # no code of the site has failed
        # The members of the node at which the room is go on.
        assert alice.request("message", ROOM)["status"] == 200
        assert join(alice) == [BOB]
        nodes.hub.come_back()
        assert bob.request("message", ROOM, {"text": "back"})["data"] == {"sent": 1}
        assert alice.take_all() == [notification("message", sender=BOB, text="back")]


def test_a_directory_that_has_forgotten_everything_changes_no_room():
    with RoomNodes() as nodes:
        alice, bob = nodes.connect(ALICE, 0), nodes.connect(BOB, 1)
        join_all(alice, bob)
        nodes.hub.go_away()
        nodes.advance(30)
        nodes.hub.come_back(empty=True)
        nodes.advance(5)
        assert alice.take_all() == bob.take_all() == []
        assert bob.request("message", ROOM, {"text": "back"})["data"] == {"sent": 1}
        carol = nodes.connect(CAROL, 1)
        assert join(carol) == [ALICE, BOB]


def test_a_room_goes_on_at_a_node_that_was_taken_for_dead_without_the_members_of_others():
    with RoomNodes() as nodes:
        alice, bob = nodes.connect(ALICE, 0), nodes.connect(BOB, 1)
        carol = nodes.connect(CAROL, 0)
        join_all(alice, bob, carol)
        nodes.hub.stop(nodes.cores[0].cluster)
        nodes.advance(10)
        (end,) = bob.take_all()
        assert end["data"]["reason"] == "server lost"
        bob.respond(end, 200)
        nodes.hub.resume(nodes.cores[0].cluster)
        nodes.advance(1)
        assert told(alice) == told(carol) == ["leave bob/b1"]
        assert join(bob) == [ALICE, CAROL]


def test_a_room_ends_at_a_node_that_was_taken_for_dead_if_it_is_elsewhere_by_now():
    with RoomNodes() as nodes:
        alice, bob = nodes.connect(ALICE, 0), nodes.connect(BOB, 1)
        join_all(alice, bob)
        nodes.hub.stop(nodes.cores[0].cluster)
        nodes.advance(10)
        bob.respond(bob.take(), 200)
        assert join(bob) == []
        nodes.hub.resume(nodes.cores[0].cluster)
        nodes.advance(1)
        leave, end = alice.take_all()
        assert leave == notification("leave", peer=address(BOB))
        assert (end["method"], end["data"]["reason"]) == ("end", "server lost")
        alice.respond(end, 200)
        assert join(alice) == [BOB]
        assert told(bob) == ["join alice/a1"]


def test_a_slow_member_of_another_node_is_told_the_latest_when_there_is_room():
    with RoomNodes() as nodes:
        bob, alice = nodes.connect(BOB, 1), nodes.connect(ALICE, 0)
        join_all(alice, bob)
        bob.link.refused.update(["mallory", "carol"])
        mallory, carol = nodes.connect("mallory/m1", 0), nodes.connect(CAROL, 0)
        for client in (mallory, carol):
            join(client)
            client.request("end", ROOM)
        join(carol)
        nodes.advance(RETRY)
        assert told(bob) == []
        bob.link.refused.clear()
        nodes.advance(RETRY)
        assert sorted(told(bob)) == ["join carol/c1", "leave mallory/m1"]


def test_a_slow_member_of_another_node_that_has_left_is_told_nothing():
    with RoomNodes() as nodes:
        alice, bob = nodes.connect(ALICE, 0), nodes.connect(BOB, 1)
        join_all(alice, bob)
        bob.link.refused.add("carol")
        join(nodes.connect(CAROL, 0))
        assert status_line(bob.request("end", ROOM)) == (200, "left")
        bob.link.refused.clear()
        nodes.advance(RETRY)
        assert bob.take_all() == []
