"""The limits that handshakes meet first, with a clock by hand."""

from __future__ import annotations

import contextlib
import socket

import pytest
from flask import Flask

from protoo_flask.settings import Settings
from protoo_flask.site.client_addresses import find_network
from protoo_flask.site.handshake_limits import HandshakeLimits, TryLater
from protoo_flask.transport import descriptors


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def make(clock, **settings):
    return HandshakeLimits(Flask("site"), Settings(**settings), contextlib.nullcontext, clock)


def test_by_default_a_user_is_limited_and_an_address_is_not(clock):
    limits = make(clock)
    for _ in range(100):
        limits.check_user("alice")
        limits.check_address("192.0.2.1")
    limits.check_address("192.0.2.1")
    with pytest.raises(TryLater) as refusal:
        limits.check_user("alice")
    assert (refusal.value.status, refusal.value.retry_after) == (429, "1")
    clock.now = 0.1
    limits.check_user("alice")


def test_a_site_may_have_no_limits(clock):
    limits = make(clock, handshakes_per_user=None)
    for _ in range(1000):
        limits.check_user("alice")


@pytest.mark.parametrize("address", [None, ""])
def test_a_client_without_an_address_is_not_limited(clock, address):
    limits = make(clock, handshakes_per_address=0.1)
    for _ in range(3):
        limits.check_address(address)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("unknown", "unknown"),
        ("x" * 1000, "x" * 100),
    ],
)
def test_a_network_is_the_part_that_a_client_cannot_choose(address, network):
    assert find_network(address) == network


def test_seconds_are_whole_and_at_least_one():
    seconds = [0.0, 0.2, 1.0, 1.1, 59.5]
    assert [TryLater(429, "", one).retry_after for one in seconds] == ["1", "1", "1", "2", "60"]


@pytest.mark.parametrize(("limit", "first"), [(1024, 960), (80, 70), (8, 7), (1_000_000, 999_936)])
def test_the_last_descriptors_are_scarce(monkeypatch, limit, first):
    class Socket:
        def __init__(self, number):
            self.fileno = lambda: number

    monkeypatch.setattr(descriptors, "find_limit", lambda: limit)
    assert not descriptors.are_scarce(Socket(first - 1))
    assert descriptors.are_scarce(Socket(first))


def test_the_lack_of_descriptors_is_logged_once_per_occasion(clock, monkeypatch, caplog):
    limits = make(clock)
    monkeypatch.setattr(descriptors, "find_limit", lambda: 0)
    with socket.socket() as sock:
        for clock.now in (0.0, 1.0, 60.0, 200.0):
            with pytest.raises(TryLater) as refusal:
                limits.check_descriptors({"gunicorn.socket": sock})
    assert (refusal.value.status, refusal.value.retry_after) == (503, "10")
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]


def test_a_server_that_shows_no_socket_is_refused_elsewhere(clock):
    make(clock).check_descriptors({})
    make(clock).check_descriptors({"gunicorn.socket": object()})
