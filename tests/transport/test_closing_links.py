"""Closing connections, and those of them that are broken because they are too many."""

from __future__ import annotations

import contextlib

import pytest

from protoo_flask.core import backlog
from protoo_flask.transport.closing_links import PER_DEVICE, ClosingLinks

from .connections import Gate, request, take_departure
from .test_connection_slow_links import wait_until
from .wire import close_frame


class Link:
    """A connection of which only the identity matters."""

    def break_off(self):
        raise AssertionError("the caller of add() breaks it")


def make(per_user=16, total=100):
    return ClosingLinks(contextlib.nullcontext(), per_user, total)


def add_links(links, count, username="alice", uuid="a1"):
    """Add links; return them, and those that were too many."""
    added = [Link() for _ in range(count)]
    return added, [surplus for link in added for surplus in links.add(link, (username, uuid))]


def test_a_device_has_two_closing_links_and_the_oldest_is_broken():
    links = make()
    added, surplus = add_links(links, PER_DEVICE)
    assert surplus == []
    more, surplus = add_links(links, 3)
    assert surplus == [*added, more[0]]
    assert len(links) == PER_DEVICE


def test_a_user_whose_devices_have_other_names_each_time_has_as_many_as_devices():
    links = make(per_user=4)
    devices = [add_links(links, 1, uuid=f"a{n}") for n in range(6)]
    assert [surplus for _, surplus in devices] == [[], [], [], [], devices[0][0], devices[1][0]]
    assert len(links) == 4


def test_a_user_with_one_device_only_has_two_closing_links_all_the_same():
    links = make(per_user=1)
    _, surplus = add_links(links, PER_DEVICE)
    assert surplus == []


def test_all_users_together_have_a_limit():
    links = make(total=3)
    users = [add_links(links, 1, username=f"user-{n}") for n in range(5)]
    assert [surplus for _, surplus in users] == [[], [], [], users[0][0], users[1][0]]
    assert len(links) == 3


def test_a_link_that_has_ended_does_not_count():
    links = make()
    for _ in range(5):
        (link, *_), surplus = add_links(links, 1)
        assert surplus == []
        links.remove(link)
        links.remove(link)
    assert len(links) == 0
    assert links._users == {}


@pytest.fixture
def closing(world):
    return ClosingLinks(world.loop.lock(), 2, 100)


def test_a_takeover_breaks_the_oldest_of_three_closing_connections(make_site, closing):
    site = make_site(closing=closing)
    clients = [site.connect() for _ in range(4)]
    clients[0].wait_for_end()
    assert clients[0].take_close() == (3000, "online elsewhere")
    assert [client.connection.state for client in clients[1:]] == ["closing", "closing", "open"]
    assert clients[1].receive().close == (3000, "online elsewhere")
    clients[1].send_bytes(close_frame(3000))
    clients[1].take_end()
    assert clients[3].request("get")["status"] == 404


@pytest.mark.parametrize("way_out", ["leaves", "breaks the rules", "reads too slowly"])
def test_a_device_that_comes_and_goes_keeps_two_connections(make_site, closing, way_out):
    site = make_site(closing=closing, max_peers_per_user=100)
    clients = []
    for n in range(5):
        client = site.connect(uuid=f"a{n}")
        clients.append(client)
        if way_out == "leaves":
            client.send_bytes(close_frame(1000))
        elif way_out == "breaks the rules":
            client.send_bytes(b"\xff\xff")
        else:
            client.connection.overflow()
        take_departure(site)
    for client in clients[:3]:
        client.wait_for_end()
    assert [client.connection.state for client in clients[3:]] == ["draining", "draining"]


def test_clients_that_have_gone_while_nobody_reads_count_as_well(make_site, closing, monkeypatch):
    monkeypatch.setattr(backlog, "MAX_BACKLOG", 10)
    site = make_site(closing=closing)
    gate = Gate(site)
    site.router.method("wait", gate)
    clients = []
    for number in range(4):
        client = site.connect()
        clients.append(client)
        client.send(*(request(10 * number + n, "wait") for n in range(1, 4)))
        wait_until(client, lambda client=client: client.connection._is_paused)
        client.reset()
        wait_until(client, client.connection._channel.has_hung_up)
        site.peer().notify("note")
        take_departure(site)
    for client in clients[:2]:
        client.wait_for_end()
    assert [client.connection.state for client in clients[2:]] == ["left", "left"]
    gate.open()


def test_refused_devices_count_as_well(make_site, closing):
    site = make_site(closing=closing, max_peers_per_user=1)
    first = site.connect(uuid="a0")
    refused = []
    for number in range(1, 5):
        client = site.begin(uuid=f"a{number}")
        refused.append(client)
        # Among threads, a later one could otherwise be refused before it.
        wait_until(client, lambda client=client: client.connection.state != "open")
    for client in refused[:2]:
        client.wait_for_end()
    assert [client.connection.state for client in refused[2:]] == ["draining", "draining"]
    assert first.request("get")["status"] == 404
