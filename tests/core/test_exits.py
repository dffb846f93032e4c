"""Exits: ``sys.exit()`` in code of the site is an error like others, unless the server stops."""

from __future__ import annotations

import argparse
import functools
import signal
import sys

import pytest

from protoo_flask.core.errors import Reject
from protoo_flask.core.exits import is_contained
from protoo_flask.core.request import Request
from tests.fakes import Core

if sys.version_info >= (3, 11):
    Group = BaseExceptionGroup  # noqa: F821
else:

    class Group(BaseException):
        def __init__(self, message, exceptions):
            super().__init__(message)
            self.exceptions = exceptions


def raised(function, *args):
    """Return what a function raises."""
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        function(*args)
    return caught.value


def leave(req=None, next=None):
    sys.exit("usage: /roll SIDES")


class Timeout(BaseException): ...


# Which


@pytest.mark.parametrize(
    ("error", "contained"),
    [
        (ValueError(), True),
        (SystemExit(), True),
        (SystemExit(0), True),
        (KeyboardInterrupt(), False),
        (GeneratorExit(), False),
        (Timeout(), False),
        (Group("teardown", [SystemExit()]), True),
        (Group("teardown", [Group("app", [ValueError(), SystemExit()])]), True),
        (Group("teardown", [ValueError(), Timeout()]), False),
    ],
    ids=repr,
)
def test_an_exit_is_contained_and_other_such_exceptions_are_not(error, contained):
    assert is_contained(error) is contained


class Stopper:
    def __call__(self, number, frame):
        sys.exit(0)

    def stop(self, number, frame):
        self(number, None)


HANDLERS = {
    "function": lambda number, frame: sys.exit(0),
    "any arguments": lambda *_: sys.exit(0),
    "object": Stopper(),
    "method": Stopper().stop,
    "partial": functools.partial(lambda code, number, frame: sys.exit(code), 1),
}


@pytest.mark.parametrize("handler", HANDLERS.values(), ids=HANDLERS)
def test_the_exit_of_a_signal_handler_is_not_contained(handler):
    def work():
        previous = signal.signal(signal.SIGUSR1, handler)
        try:
            signal.raise_signal(signal.SIGUSR1)
        finally:
            signal.signal(signal.SIGUSR1, previous)

    error = raised(work)
    assert isinstance(error, SystemExit)
    assert not is_contained(error)


# Handlers


def add_handler(router):
    router.get("/exit", leave)


def add_middleware(router):
    router.use("/exit", leave)


def add_second_function(router):
    router.get("/exit", lambda req, next: next("route"), leave)
    router.get("/exit", leave)


def add_nested(router):
    inner = type(router)()
    inner.get("/", leave)
    router.use("/exit", lambda req, next: next(), inner)


def add_param(router):
    router.param("name", lambda req, next, value: leave())
    router.get("/:name", lambda req, next: req.reply(200))


def add_error_handler(router):
    router.get("/exit", lambda req, next: next(ValueError()))
    router.errorhandler(lambda error, req, next: leave())


def add_argparse(router):
    def roll(req, next):
        parser = argparse.ArgumentParser("/roll")
        parser.add_argument("sides", type=int)
        parser.parse_args(["six"])

    router.get("/exit", roll)


def add_builtin(router):
    router.get("/exit", lambda req, next: exec("raise SystemExit"))


PLACES = [add_handler, add_middleware, add_second_function, add_nested, add_param]
PLACES += [add_error_handler, add_argparse, add_builtin]


@pytest.mark.parametrize("add", PLACES, ids=lambda add: add.__name__)
def test_an_exit_is_answered_500_and_the_connection_goes_on(add, caplog):
    core = Core()
    core.router.get("/time", lambda req, next: req.reply(200, "OK"))
    add(core.router)
    alice = core.connect()
    answer = alice.request("get", "/exit")
    assert (answer["status"], answer["reason"]) == (500, "internal server error")
    [record] = caplog.records
    assert record.message.startswith("error in get /exit from <Peer alice/a1 online>: SystemExit(")
    assert isinstance(record.exc_info[1], SystemExit)
    assert isinstance(core.framework.errors[0], SystemExit)
    assert alice.request("get", "/time" if add is not add_param else "/")["status"] != 500
    assert alice.link.closed is None


def test_the_log_names_the_handler_that_exits(caplog):
    core = Core()
    core.router.get("/exit", leave)
    core.connect().request("get", "/exit")
    [record] = caplog.records
    place = f"({__file__}:{leave.__code__.co_firstlineno})"
    assert record.message.endswith(
        f"SystemExit('usage: /roll SIDES'), last in {__name__}.leave {place}"
    )


def test_an_exit_after_the_reply_is_in_the_log(caplog):
    core = Core()

    @core.router.get("/exit")
    def reply_and_leave(req, next):
        req.reply(200, "OK")
        leave()

    alice = core.connect()
    assert alice.request("get", "/exit")["status"] == 200
    assert "SystemExit" in caplog.records[0].message
    assert alice.take_all() == []


def test_an_exit_of_a_notification_is_in_the_log(caplog):
    core = Core()
    core.router.get("/exit", leave)
    alice = core.connect()
    alice.notify("get", "/exit")
    assert "SystemExit" in caplog.records[0].message
    assert alice.link.closed is None


def test_a_handler_may_end_an_exit_itself():
    core = Core()

    @core.router.use
    def catch(req, next):
        try:
            next()
        except SystemExit as error:
            req.reply(400, str(error))

    core.router.get("/exit", leave)
    assert core.connect().request("get", "/exit")["reason"] == "usage: /roll SIDES"


def test_the_exit_of_a_server_that_stops_goes_through_a_handler():
    core = Core()

    @core.router.get("/exit")
    def hang(req, next):
        signal.raise_signal(signal.SIGUSR1)

    alice = core.connect()
    previous = signal.signal(signal.SIGUSR1, lambda number, frame: sys.exit(1))
    try:
        with pytest.raises(SystemExit):
            alice.start_request("get", "/exit")
    finally:
        signal.signal(signal.SIGUSR1, previous)
    assert alice.take()["status"] == 500


def test_a_keyboard_interrupt_goes_through_a_handler():
    core = Core()

    @core.router.get("/exit")
    def interrupt(req, next):
        raise KeyboardInterrupt

    alice = core.connect()
    with pytest.raises(KeyboardInterrupt):
        alice.start_request("get", "/exit")


def test_the_exit_of_a_teardown_function_is_logged_as_that():
    core = Core()

    def run(function, *args):
        function(*args)
        leave()

    core.router.get("/open", lambda req, next: None)
    core.router.get("/answered", lambda req, next: req.reply(200))
    alice = core.connect()
    core.framework.run = run
    assert alice.request("get", "/open")["status"] == 500
    assert alice.request("get", "/answered")["status"] == 200
    peer = "<Peer alice/a1 online>"
    assert core.framework.failed_teardowns == [
        f"get /open from {peer}",
        f"get /answered from {peer}",
    ]


# Other code of the site


def test_the_exit_of_on_response_is_logged(caplog):
    core = Core()
    alice = core.connect()
    transaction = alice.peer.send(Request("ask"), on_response=lambda response: leave())
    alice.respond(alice.take(), 200)
    assert transaction.response.status == 200
    assert "error in" in caplog.records[0].message
    assert isinstance(caplog.records[0].exc_info[1], SystemExit)


def test_the_exit_of_on_response_for_a_local_response_is_logged(caplog):
    core = Core()
    alice = core.connect()
    alice.peer.send(Request("ask"), on_response=lambda response: leave()).cancel()
    assert isinstance(caplog.records[0].exc_info[1], SystemExit)


def test_a_reject_with_any_text_is_no_exit():
    assert is_contained(Reject(403, "exit"))
