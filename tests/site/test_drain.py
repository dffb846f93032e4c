"""The course of a drain, with a clock that is moved by hand."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
from flask import Flask

from protoo_flask import Protoo
from protoo_flask.core.arrivals import TurnedAway
from protoo_flask.core.errors import UsageError
from protoo_flask.core.routing.router import Router
from protoo_flask.core.sendable import Sendable
from protoo_flask.site.drain import LOOK_INTERVAL, Drain
from tests.fakes import Core, FakeScheduler


class OneThread(FakeScheduler):
    """Waiting lets time pass, so a drain has run to its end when it has begun."""

    preempts = False


class DrainedCore(Core):
    scheduler_class = OneThread


class Host:
    """A site."""

    app = Flask("drained")
    services: dict = {}

    def __init__(self, core):
        self.core = core
        self.arrivals = core.application.runtime.arrivals
        self.service = SimpleNamespace(
            application=core.application, loop=core.scheduler, closing_links=[]
        )
        self.ended = []

    def end_service(self, for_good):
        self.ended.append((for_good, self.core.scheduler.time))


@pytest.fixture
def core():
    return DrainedCore(grace_period=10)


def test_an_idle_client_is_closed_at_once(core):
    client, host = core.connect(), Host(core)
    drain = Drain(host, 7)
    assert not drain.is_over
    drain.begin()
    assert drain.is_over
    assert drain.wait(0)
    assert client.link.closed == (1001, "shutting down")
    assert host.ended == [(True, 1000.0)]


def test_without_clients_it_is_over_at_once(core):
    host = Host(core)
    drain = Drain(host, 7, for_good=False)
    drain.begin()
    assert drain.is_over
    assert host.ended == [(False, 1000.0)]


def test_without_a_loop_too(core):
    host = Host(core)
    host.service = None
    drain = Drain(host, 7)
    drain.begin()
    assert drain.wait()


@pytest.mark.parametrize("seconds", [0, 7])
def test_a_busy_client_is_closed_at_the_deadline(seconds):
    router, open_requests = Router(), []
    router.get("/open", lambda req, next: open_requests.append(req))
    core = DrainedCore(router, grace_period=10)
    client, idle = core.connect(), core.connect("bob")
    client.start_request("get", "/open")
    host = Host(core)
    Drain(host, seconds).begin()
    assert client.link.closed == idle.link.closed == (1001, "shutting down")
    assert host.ended[0][1] == pytest.approx(1000 + seconds)
    assert client.take_all() == []


def test_a_client_that_becomes_quiet_is_closed_then():
    router, open_requests = Router(), []
    router.get("/open", lambda req, next: open_requests.append(req))
    core = DrainedCore(router, grace_period=10)
    client = core.connect()
    client.start_request("get", "/open")
    core.scheduler.call_later(3, lambda: open_requests[0].reply(200))
    host = Host(core)
    Drain(host, 7).begin()
    assert client.take()["status"] == 200
    assert host.ended[0][1] == pytest.approx(1003, abs=0.2)


def test_a_client_that_waits_for_one_that_was_closed_goes_as_well():
    """It repeats its request elsewhere, where the other one is by then."""
    router = Router()

    @router.message("/bob")
    def relay(req, next):
        (bob,) = req.peer.directory.find("bob")
        forwarded = Sendable("message", req.data)
        forwarded.sender = req.peer.address
        bob.outbound.start(forwarded, lambda response: None, None)

    core = DrainedCore(router, grace_period=60)
    bob, alice = core.connect("bob"), core.connect()
    host = Host(core)
    # Alice writes when bob has just been closed.
    original = core.application.directory.send_away

    def send_away(peer, code, reason):
        original(peer, code, reason)
        if peer is bob.peer:
            alice.start_request("message", "/bob")

    core.application.directory.send_away = send_away
    Drain(host, 100, has_successor=lambda: True).begin()
    assert alice.link.closed == (1001, "shutting down")
    assert bob.take_all() == []
    assert host.ended[0][1] < 1005


def test_handshakes_in_progress_are_turned_away(core):
    host = Host(core)
    arrival = host.arrivals.begin()
    core.connect()
    Drain(host, 7).begin()
    with pytest.raises(TurnedAway, match="shutting down"):
        host.arrivals.check(arrival, "bob", "b1")


def test_the_successor_is_looked_for_once_in_a_while():
    router = Router()
    router.get("/open", lambda req, next: None)
    core = DrainedCore(router, grace_period=10)
    core.connect().start_request("get", "/open")
    looks = []
    Drain(Host(core), 5, has_successor=lambda: looks.append(core.scheduler.time)).begin()
    assert len(looks) == 5
    assert min(b - a for a, b in zip(looks, looks[1:])) >= LOOK_INTERVAL


def test_the_earlier_deadline_counts():
    router = Router()
    router.get("/open", lambda req, next: None)
    core = DrainedCore(router, grace_period=10)
    core.connect().start_request("get", "/open")
    host = Host(core)
    drain = Drain(host, 100)
    core.scheduler.call_later(2, lambda: drain.hurry(1))
    core.scheduler.call_later(2, lambda: drain.hurry(50))
    drain.begin()
    assert host.ended[0][1] == pytest.approx(1003)


def test_a_drain_shows_how_long_it_may_take(core):
    drain = Drain(Host(core), 7)
    assert repr(drain) == "<Drain with 7.0 s left>"
    core.scheduler.time += 8
    assert repr(drain) == "<Drain with 0.0 s left>"
    drain.begin()
    assert repr(drain) == "<Drain over>"


def test_listeners_of_departures_are_waited_for(core):
    host = Host(core)
    core.connect()
    events = core.application.events
    core.scheduler.call_later(0, lambda: events.post("slow", *[]))
    core.scheduler.call_later(2, lambda: events.drain("slow"))
    events.post("slow")
    Drain(host, 7).begin()
    assert host.ended[0][1] == pytest.approx(1002, abs=0.2)


def test_a_forked_child_leaves_the_drain_to_its_parent(monkeypatch, caplog):
    router = Router()
    router.get("/open", lambda req, next: None)
    core = DrainedCore(router, grace_period=10)
    client = core.connect()
    client.start_request("get", "/open")
    host = Host(core)
    drain = Drain(host, 7)
    core.scheduler.call_later(1, monkeypatch.setattr, "protoo_flask.site.drain.os.getpid", int)
    drain.begin()
    assert client.link.closed is None
    assert host.ended == []
    assert drain.wait()  # nothing is to be waited for there
    assert caplog.text == ""


def test_a_defect_is_logged_and_the_site_is_closed(core, caplog, monkeypatch):
    host = Host(core)
    core.connect()
    monkeypatch.setattr(core.application.directory, "send_away", None)
    with caplog.at_level(logging.ERROR):
        Drain(host, 7).begin()
    assert "the clients are not drained in good order" in caplog.text
    assert len(host.ended) == 1


# protoo.drain()


def make_app():
    app = Flask("draining")
    app.secret_key = "secret"
    return app, Protoo(app)


def test_an_app_without_clients_is_drained_once():
    app, protoo = make_app()
    site = app.extensions["protoo"]
    assert not site.is_draining
    drain = protoo.drain()
    assert drain.is_over
    assert site.is_draining
    assert site.is_closed
    assert protoo.drain(0) is drain


@pytest.mark.parametrize("timeout", [-1, "7", True, float("nan")])
def test_a_timeout_that_is_none_is_refused(timeout):
    _, protoo = make_app()
    with pytest.raises(UsageError, match="takes a number of seconds, 0 or more, or None, not"):
        protoo.drain(timeout)


def test_a_client_under_test_is_drained():
    app, protoo = make_app()
    with protoo.test_client(app.test_client(), username="alice") as alice:
        drain = protoo.drain()
        protoo.test_clock.advance(1)
        assert alice.close_code == 1001
        assert drain.is_over
