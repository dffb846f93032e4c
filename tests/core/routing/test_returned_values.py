"""A handler that returns a value instead of a reply is told so at once."""

from __future__ import annotations

import functools

import pytest

from protoo_flask import Router
from protoo_flask.core.errors import UsageError
from tests.fakes import Core

from .handlers import ask, failed, not_found, ok, reply

pytestmark = pytest.mark.usefixtures("each_way")


def view(req, next, *value):
    """A handler as somebody writes it who is used to Flask's views."""
    return {"text": "hi"}


def handle_error(error, req, next):
    return "sorry", 500


def fail(req, next):
    raise ValueError("first")


class Callable:
    def __call__(self, req, next):
        return view(req, next)


@pytest.mark.parametrize(
    ("register", "function"),
    [
        (lambda router: router.use(view), view),
        (lambda router: router.use("/x", view), view),
        (lambda router: router.use("/:id", view), view),
        (lambda router: router.get("/x", view), view),
        (lambda router: router.get("/:id", view), view),
        (lambda router: router.get("/(x)", view), view),
        (lambda router: router.get("/x", lambda req, next: next(), view), view),
        (lambda router: router.use("/x", Router().use(view)), view),
        (lambda router: router.param("id", view).get("/:id", reply("OK")), view),
        (lambda router: router.use(fail).errorhandler(handle_error), handle_error),
        (lambda router: router.use(fail).errorhandler("/x", handle_error), handle_error),
        (lambda router: router.use(functools.partial(view)), view),
        (lambda router: router.use(functools.wraps(view)(lambda *args: view(*args))), view),
    ],
    ids=range(13),
)
def test_a_returned_value_is_answered_500_at_once_and_logged_with_the_place(register, function):
    core = Core()
    register(core.router)
    assert ask(core, "/x") == failed
    (error,) = core.framework.errors
    assert isinstance(error, UsageError)
    place = f"{__file__}:{function.__code__.co_firstlineno}"
    assert f"{function.__module__}.{function.__qualname__} ({place}) returned " in str(error)
    assert "a handler answers with req.reply(" in str(error)


def test_a_value_that_a_callable_object_returns_is_refused():
    core = Core()
    core.router.use("/x", Callable())
    assert ask(core, "/x") == failed
    assert "Callable" in str(core.framework.errors[0])


@pytest.mark.parametrize("value", [0, False, "", (), [], b"x", object(), (200, "OK"), 404])
def test_any_value_but_none_is_refused(value):
    core = Core()
    core.router.get("/", lambda req, next: value)
    assert ask(core, "/") == failed


def test_a_long_value_is_shortened_in_the_log():
    core = Core()
    core.router.get("/", lambda req, next: "x" * 100_000)
    assert ask(core, "/") == failed
    assert len(str(core.framework.errors[0])) < 600


def test_the_error_goes_to_the_error_handlers_below():
    core = Core()
    core.router.get("/", view)
    core.router.errorhandler(UsageError, lambda error, req, next: req.reply(501, "a view"))
    assert ask(core, "/") == (501, "a view")


def test_no_function_below_it_runs():
    core, trace = Core(), []
    core.router.get("/", view)
    core.router.use(lambda req, next: trace.append("below"))
    assert ask(core, "/") == failed
    assert trace == []


@pytest.mark.parametrize(
    "handler",
    [
        lambda req, next: (req.reply(200, "OK"), "some text"),
        lambda req, next: (next(), "some text"),
        lambda req, next: [next() for _ in range(1)],
    ],
    ids=["a reply", "next()", "next() in a list"],
)
def test_a_value_after_a_reply_or_next_is_ignored(handler):
    core = Core()
    core.router.get("/", handler)
    core.router.get("/", reply("OK"))
    assert ask(core, "/") == ok
    assert core.framework.errors == []


def test_a_value_after_a_next_that_found_no_handler_is_ignored():
    core = Core()
    core.router.get("/", lambda req, next: (next(), "some text"))
    assert ask(core, "/") == not_found
    assert core.framework.errors == []


def test_a_value_is_ignored_when_a_handler_below_answers_later():
    core, later = Core(), []
    core.router.get("/", lambda req, next: (next(), "some text"))
    core.router.get("/", lambda req, next: later.append(req))
    alice = core.connect()
    alice.start_request("get", "/")
    assert alice.take_all() == core.framework.errors == []
    later[0].reply(200, "OK")
    assert alice.take()["status"] == 200


def test_a_handler_may_return_the_transaction_whose_response_it_forwards():
    core = Core()
    core.router.get("/", lambda req, next: bob.peer.send(req, on_response=req.reply))
    bob, alice = core.connect("bob", "b1"), core.connect()
    alice.start_request("get", "/")
    assert alice.take_all() == core.framework.errors == []
    bob.respond(bob.take(), 200, "OK")
    assert alice.take()["status"] == 200


def test_a_handler_that_keeps_the_request_open_may_return_a_value():
    core, kept = Core(), []

    def start_job(req, next):
        req.keep_open()
        kept.append(req)
        return "job 7"

    core.router.get("/", start_job)
    alice = core.connect()
    alice.start_request("get", "/")
    assert alice.take_all() == core.framework.errors == []
    kept[0].reply(200, "OK")
    assert alice.take()["status"] == 200


def test_a_value_returned_for_a_notification_is_ignored():
    core = Core()
    core.router.get("/", view)
    core.connect().notify("get", "/")
    assert core.framework.errors == []
