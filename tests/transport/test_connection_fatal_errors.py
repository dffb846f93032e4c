"""Errors that ``except Exception`` does not catch, in handlers, listeners and callbacks."""

from __future__ import annotations

import sys
import threading
from typing import Any

import gevent
import pytest

from protoo_flask.core import backlog
from protoo_flask.core.request import Request

from .connections import Fatal, Gate, request, take_departure
from .wire import PATIENCE, PING, PONG, Frame, frame, text

FATAL = [gevent.Timeout(), Fatal("stop")]


@pytest.mark.parametrize("fatal", FATAL, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("blocking", [False, True], ids=["at once", "after it has blocked"])
def test_a_fatal_error_is_answered_500_and_ends_only_its_connection(site, gate, fatal, blocking):
    def fail(req, next):
        if blocking:
            gate.block()
        raise fatal

    site.router.method("fail", fail)
    alice, bob = site.connect("alice"), site.connect("bob")
    alice.send_request("fail")
    if blocking:
        gate.wait()
        gate.open()
    assert alice.take()["status"] == 500
    assert alice.take_close() == (1011, "internal error")
    alice.close()
    alice.wait_for_end()
    assert bob.request("get")["status"] == 404
    assert site.world.errors.get(timeout=PATIENCE) is fatal


@pytest.mark.parametrize("blocking", [False, True], ids=["at once", "after it has blocked"])
def test_an_exit_is_answered_500_and_its_connection_goes_on(site, gate, blocking):
    def leave(req, next):
        if blocking:
            gate.block()
        sys.exit("usage")

    site.router.method("leave", leave)
    alice, bob = site.connect("alice"), site.connect("bob")
    alice.send(request(1, "leave"), request(2))
    if blocking:
        gate.wait()
        gate.open()
    answers = [alice.take() for _ in range(2)]
    assert [(answer["id"], answer["status"]) for answer in answers] == [(1, 500), (2, 404)]
    assert bob.request("get")["status"] == 404
    assert site.world.errors.empty()


def test_waiting_requests_are_not_handled_after_a_fatal_error(make_site):
    site = make_site(parallel_requests=2)
    failing, blocking = Gate(site), Gate(site)

    def fail(req, next):
        failing.block()
        raise Fatal("stop")

    handled = []
    site.router.method("fail", fail).method("wait", blocking)
    site.router.use(lambda req, next: handled.append(req.id))
    client = site.connect()
    client.send(request(1, "fail"), request(2, "wait"), request(3))
    blocking.wait()
    client.send_bytes(frame(PING))
    assert client.receive() == Frame(PONG, b"")
    failing.open()
    assert client.take()["id"] == 1
    assert client.take_close() == (1011, "internal error")
    client.close()
    client.wait_for_end()
    blocking.open()
    site.world.settle()
    assert handled == []
    assert str(site.world.errors.get(timeout=PATIENCE)) == "stop"


def test_a_fatal_error_does_not_drop_waiting_requests_of_a_client_that_has_left(site, gate):
    handled = site.world.loop.event()

    def stop(req: Any, next: Any) -> None:
        gate.block()
        raise Fatal("stop")

    site.router.method("stop", stop)
    site.router.get(lambda req, next: handled.set())
    client = site.connect()
    client.send(request(1, "stop"), request(2))
    gate.wait()
    client.send_bytes(frame(PING))
    assert client.receive() == Frame(PONG, b"")
    client.close()
    client.wait_for_end()
    gate.open()
    assert handled.wait(PATIENCE)
    assert str(site.world.errors.get(timeout=PATIENCE)) == "stop"


def test_a_fatal_error_in_an_online_listener_ends_the_connection(site):
    def listen(event: Any) -> None:
        if event.name == "peer_online":
            raise Fatal("stop")

    site.framework.on_event.append(listen)
    client = site.connect()
    assert client.take_close() == (1011, "internal error")
    client.close()
    client.wait_for_end()
    assert str(site.world.errors.get(timeout=PATIENCE)) == "stop"
    assert site.peer() is None
    site.framework.on_event.clear()
    assert site.connect().request("get")["status"] == 404


def test_a_fatal_error_while_the_backlog_is_full_leaves_nothing_behind(site, gate, monkeypatch):
    monkeypatch.setattr(backlog, "MAX_BACKLOG", 100)

    def fail(req, next):
        gate.block()
        raise Fatal("stop")

    site.router.method("fail", fail)
    client = site.connect()
    client.send(request(1, "fail"), *(request(id) for id in range(2, 2000)))
    gate.wait()
    gate.open()
    assert client.take()["status"] == 500
    assert client.take_close() == (1011, "internal error")
    client.close()
    client.wait_for_end()
    assert str(site.world.errors.get(timeout=PATIENCE)) == "stop"


def test_a_fatal_error_in_a_callback_ends_the_connection_and_leaves_nothing_behind(
    site, monkeypatch
):
    reported = []
    monkeypatch.setattr(threading, "excepthook", lambda args: reported.append(args.exc_value))

    def fail(response):
        raise Fatal

    client = site.connect()
    site.peer().send(Request("question"), fail)
    client.respond(client.take())
    assert client.take_close() == (1011, "internal error")
    client.close()
    client.wait_for_end()
    while not site.world.errors.empty():
        reported.append(site.world.errors.get())
    assert [type(error) for error in reported] == [Fatal]


def test_a_fatal_error_at_a_response_before_the_opening_ends_the_connection(make_site):
    site = make_site(grace_period=PATIENCE)
    client = site.connect()

    def stop(response: Any) -> None:
        raise Fatal("stop")

    site.peer().send(Request("ask"), on_response=stop)
    asked = client.take()
    client.reset()
    take_departure(site)
    early = {"status": 200, "reason": "", "id": asked["id"], "data": {}}
    client = site.connect(early=text(early))
    assert client.take() == asked
    assert client.take_close() == (1011, "internal error")
    client.close()
    client.wait_for_end()
    assert str(site.world.errors.get(timeout=PATIENCE)) == "stop"
    # The site has been told all the same, so the next connection of the device is served.
    again = site.connect()
    assert again.request("get")["status"] == 404
    site.application.disconnect("alice", None, 1000, "bye")
