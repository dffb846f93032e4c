"""The provisional responses that a repeated request hears again: their bytes are bounded."""

from __future__ import annotations

from protoo_flask.core.transactions.server import MAX_REPETITIONS
from tests.core.transactions.test_server import Server

SIZE = 60_000


def kept(server):
    requests = server.client.peer.requests
    found = sum(len(text) for req in server.handled for text in req.repetition)
    assert requests._repetitions == found
    return found


def test_the_bytes_are_bounded_for_each_peer_and_every_response_is_sent():
    server = Server()
    for id in range(1, 11):
        server.ask(id)
        server.handled[-1].reply(100, "first" + SIZE * "x")
        server.handled[-1].reply(180, "latest" + SIZE * "x")
    assert len(server.answers) == 20
    assert MAX_REPETITIONS - SIZE - 100 < kept(server) <= MAX_REPETITIONS
    for request in server.handled:
        request.reply(200)
    assert kept(server) == 0


def test_a_small_response_finds_room_where_a_large_one_does_not():
    server = Server()
    server.ask(1)
    server.handled[0].reply(100, "first")
    server.handled[0].reply(180, MAX_REPETITIONS * "x")
    assert 0 < kept(server) < 100
    server.handled[0].reply(182, "small")
    server.come_back()
    server.client.take_all()
    server.ask(1)
    assert server.answers == [(100, "first"), (182, "small")]


def test_the_bytes_at_the_limit_are_kept_and_one_more_is_not():
    server = Server()
    server.ask(1)
    server.handled[0].reply(100)
    first = kept(server)
    server.handled[0].reply(180, (MAX_REPETITIONS - 2 * first) * "x")
    assert kept(server) == MAX_REPETITIONS
    server.handled[0].reply(180, (MAX_REPETITIONS - 2 * first + 1) * "x")
    assert kept(server) == first


def test_a_request_in_the_place_of_another_gives_its_bytes_back():
    server = Server()
    server.ask(1, n=1)
    server.handled[0].reply(100, "first")
    server.come_back()
    server.ask(1, n=2)
    assert kept(server) == 0
    server.handled[0].reply(180, "nobody waits for this")
    assert kept(server) == 0
    server.handled[1].reply(100, "second")
    assert kept(server) > 0
    server.handled[1].reply(200)
    assert kept(server) == 0
