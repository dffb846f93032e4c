"""The observers of an app: who is told, in which order, and what an error does."""

from __future__ import annotations

import logging
import threading

import pytest

from protoo_flask.core.observer import Observer
from protoo_flask.core.observers import METHODS, OF_EACH_MESSAGE, Observers, join
from protoo_flask.core.request import Request
from tests.fakes import Core

logger = logging.getLogger("tests.observers")


def note(calls, name):
    """Return a listener that notes what it is told of, with its name."""

    class Listener(Observer):
        def received(self, peer, size):
            calls.append((name, "received", size))

        def closed(self, peer, code):
            calls.append((name, "closed", code))

    return Listener()


class Failing(Observer):
    """Fails whenever it is told of a message."""

    def __init__(self, error):
        self.error = error
        self.count = 0

    def received(self, peer, size):
        self.count += 1
        raise self.error


# Several


def test_all_listeners_are_told_in_the_order_of_their_registration():
    calls = []
    observers = Observers([note(calls, "first"), note(calls, "second")], logger)
    observers.received(None, 5)
    observers.closed(None, 1000)
    assert calls == [
        ("first", "received", 5),
        ("second", "received", 5),
        ("first", "closed", 1000),
        ("second", "closed", 1000),
    ]


@pytest.mark.parametrize("name", METHODS)
def test_a_method_that_nobody_overrides_is_that_of_the_base_class(name):
    observers = Observers([Observer(), Observer()], logger)
    method = getattr(observers, name)
    if name in OF_EACH_MESSAGE:
        assert method is None
    else:
        assert method.__func__ is vars(Observer)[name]


@pytest.mark.parametrize("name", METHODS)
def test_a_method_may_be_an_attribute_of_the_listener(name):
    calls = []
    listener = Observer()
    setattr(listener, name, lambda *args: calls.append(args))
    getattr(Observers([listener], logger), name)(1, 2)
    assert calls == [(1, 2)]


def test_without_listeners_there_is_no_observer():
    assert join([], logger, threading.Lock()) is None


# Errors


def test_an_error_of_a_listener_harms_neither_peers_nor_other_listeners(caplog):
    calls = []
    failing = Failing(ValueError("a mistake"))
    core = Core(observer=Observers([failing, note(calls, "second")], logger))
    core.router.get("/", lambda req, next: req.reply(200, "OK"))
    alice = core.connect()
    for _ in range(3):
        assert alice.request("get", "/")["status"] == 200
    assert failing.count == len(calls) == 3
    [record] = caplog.records
    assert record.getMessage().startswith("error in Failing.received, a listener")
    assert "a mistake" in record.exc_text


@pytest.mark.parametrize("error", [SystemExit(1), ValueError("x\nroot logged in")])
def test_the_log_shows_an_error_on_lines_of_its_own(error, caplog):
    Observers([Failing(error)], logger).received(None, 1)
    [record] = caplog.records
    assert "\nroot" not in record.exc_text


def test_an_error_that_ends_the_greenlet_ends_it():
    observers = Observers([Failing(KeyboardInterrupt())], logger)
    with pytest.raises(KeyboardInterrupt):
        observers.received(None, 1)


def test_each_method_of_a_listener_has_one_line_in_the_log(caplog):
    class Broken(Observer):
        def received(self, peer, size):
            raise ValueError

        def closed(self, peer, code):
            raise ValueError

    observers = Observers([Broken(), Broken()], logger)
    for _ in range(2):
        observers.received(None, 1)
        observers.closed(None, 1000)
    assert len(caplog.records) == 4  # two listeners, two methods


def test_a_listener_that_cannot_raise_is_called_without_a_detour():
    listener = Failing(ValueError())
    listener.is_guarded = False
    assert Observers([listener], logger).received == listener.received


# Threads


class Lock:
    """Notes whether it is held."""

    is_held = False

    def __enter__(self):
        self.is_held = True

    def __exit__(self, *exc):
        self.is_held = False


def test_among_threads_a_lock_is_held_while_listeners_are_called():
    lock, held = Lock(), []

    class Listener(Observer):
        def received(self, peer, size):
            held.append(lock.is_held)

    Observers([Listener()], logger, lock).received(None, 1)
    Observers([Listener()], logger, None).received(None, 1)
    assert held == [True, False]
    assert not lock.is_held


def test_a_call_without_a_client_is_told_as_any_other():
    calls = []
    core = Core(observer=Observers([note(calls, "only")], logger))
    alice = core.connect()
    alice.peer.send(Request("get"))
    alice.respond(alice.take(), 200)
    alice.leave()
    assert [call[1] for call in calls] == ["received", "closed"]
