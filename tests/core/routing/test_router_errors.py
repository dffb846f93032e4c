"""Errors: raised or given to ``next()``, and the handlers that they reach."""

from __future__ import annotations

import pytest

from protoo_flask.core.errors import AlreadyReplied, Reject, UsageError
from protoo_flask.core.routing.router import Router
from tests.fakes import Core

from .handlers import ask, failed, note, ok, reply

pytestmark = pytest.mark.usefixtures("each_way")


@pytest.mark.parametrize("how", ["raise", "next"])
@pytest.mark.parametrize("where", ["use", "route", "nested", "param"])
def test_an_error_skips_to_the_first_error_handler_below(how, where):
    core, trace = Core(), []
    error = ValueError("oops")

    def fail(req, next, *value):
        if how == "raise":
            raise error
        next(error)

    core.router.errorhandler(lambda error, req, next: trace.append("too far above"))
    if where == "use":
        core.router.use(fail)
    elif where == "route":
        core.router.get("/:name", fail, note(trace, "in the route"))
    elif where == "param":
        core.router.param("name", fail)
        core.router.get("/:name", note(trace, "with the parameter"))
    else:
        router = Router()
        core.router.use(router)
        router.use(fail)
        router.use(note(trace, "in the router"))
    core.router.use(note(trace, "no error handler"))
    core.router.get("/:other", note(trace, "no error handler"))
    core.router.errorhandler(
        lambda error, req, next: (trace.append(error), req.reply(400, "first"))
    )
    core.router.errorhandler(lambda error, req, next: trace.append("second"))
    assert ask(core, "/x") == (400, "first")
    assert trace == [error]
    assert core.framework.errors == []


def test_an_error_handler_may_pass_the_error_on_or_another_one():
    core, seen = Core(), []
    core.router.use(lambda req, next: next("first"))
    core.router.errorhandler(lambda error, req, next: (seen.append(error), next(error)))
    core.router.errorhandler(lambda error, req, next: (seen.append(error), next("second")))

    @core.router.errorhandler
    def fail(error, req, next):
        seen.append(error)
        raise Reject(403, "third")

    assert ask(core, "/") == (403, "third")
    assert seen == ["first", "first", "second"]


def test_an_error_handler_that_calls_next_without_error_goes_on_with_the_functions_below():
    core = Core()
    core.router.use(lambda req, next: next("oops"))
    core.router.errorhandler(lambda error, req, next: next())
    core.router.errorhandler(lambda error, req, next: req.reply(500, "not this"))
    core.router.get("/", reply("recovered"))
    assert ask(core, "/") == (200, "recovered")


def test_an_error_handler_is_skipped_without_an_error():
    core = Core()
    core.router.errorhandler(lambda error, req, next: req.reply(500))
    core.router.get("/", reply("OK"))
    assert ask(core, "/") == ok


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/users/bob", (400, "/users /bob {}")),
        ("/rooms/7", (400, "/rooms/7 / {'id': '7'}")),
        ("/other", failed),
    ],
)
def test_an_error_handler_may_be_for_a_path(path, answer):
    core = Core()
    core.router.use(lambda req, next: next(ValueError()))

    def show(error, req, next):
        req.reply(400, f"{req.base_path} {req.path} {req.params}")

    core.router.errorhandler("/users", show)
    core.router.errorhandler("/rooms/:id", show)
    assert ask(core, path) == answer


def test_a_nested_router_handles_its_own_errors_and_passes_on_the_rest():
    core, trace = Core(), []
    router = Router()
    core.router.use("/x", router)
    router.get("/mine", lambda req, next: next("oops"))
    router.errorhandler("/mine", lambda error, req, next: req.reply(400, "inner"))
    router.get("/yours", lambda req, next: next("oops"))
    core.router.errorhandler(lambda error, req, next: req.reply(400, "outer"))
    assert ask(core, "/x/mine") == (400, "inner")
    assert ask(core, "/x/yours") == (400, "outer")
    assert trace == []


def test_several_error_handlers_can_be_registered_at_once():
    core = Core()
    core.router.use(lambda req, next: next("oops"))
    core.router.errorhandler(
        lambda error, req, next: next(f"{error}!"), lambda error, req, next: req.reply(400, error)
    )
    assert ask(core, "/") == (400, "oops!")


def test_an_error_does_not_return_to_the_functions_above():
    core, trace = Core(), []
    core.router.use(note(trace, "above"))
    core.router.use(lambda req, next: next(ValueError()))
    assert ask(core, "/") == failed
    assert trace == ["above", "/above"]


@pytest.mark.parametrize("where", ["use", "route", "nested", "param", "errorhandler"])
def test_next_never_raises(where):
    core, trace = Core(), []

    def pass_on(req, next, *value):
        next()
        trace.append("next() has returned")

    def fail(req, next):
        raise ValueError

    if where == "use":
        core.router.use(pass_on)
    elif where == "route":
        core.router.get("/:name", pass_on, fail)
    elif where == "nested":
        core.router.use(Router().use(pass_on))
    elif where == "param":
        core.router.param("name", pass_on)
        core.router.get("/:name", fail)
    else:
        core.router.use(lambda req, next: next("oops"))
        core.router.errorhandler(lambda error, req, next: pass_on(req, next))
    core.router.use(fail)
    assert ask(core, "/x") == failed
    assert trace == ["next() has returned"]
    assert len(core.framework.errors) == 1


def test_an_error_raised_after_next_goes_to_the_error_handlers_not_reached_yet():
    core = Core()

    @core.router.use
    def fail_on_the_way_out(req, next):
        next()
        raise ValueError

    core.router.use(lambda req, next: None)
    core.router.errorhandler(lambda error, req, next: req.reply(500, "handled"))
    assert ask(core, "/") == (500, "handled")


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_an_error_after_the_final_reply_reaches_the_log_from_any_depth(depth):
    core, trace = Core(), []
    error = ValueError("too late")

    def reply_and_fail(req, next):
        req.reply(200, "OK")
        raise error

    router = core.router
    for _ in range(depth):
        outer, router = router, Router()
        outer.use(router)
        outer.errorhandler(lambda error, req, next: trace.append("not for this"))
    router.get("/", reply_and_fail)
    assert ask(core, "/") == ok
    assert core.framework.errors == [error]
    assert trace == []


class Missing(LookupError):
    """A class of a site, below one of Python."""


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (Missing("x"), (404, "missing")),
        (KeyError("x"), (404, "lookup")),
        (IndexError("x"), (404, "lookup")),
        (ValueError("x"), (400, "value or type")),
        (TypeError("x"), (400, "value or type")),
        (OSError("x"), (500, "any")),
        ("a text", (500, "any")),
    ],
    ids=repr,
)
def test_an_error_handler_may_be_for_some_classes_of_exceptions(error, answer):
    core = Core()
    core.router.use(lambda req, next: next(error))

    def reply(status, reason):
        return lambda error, req, next: req.reply(status, reason)

    core.router.errorhandler(Missing, reply(404, "missing"))
    core.router.errorhandler(LookupError)(reply(404, "lookup"))
    core.router.errorhandler(ValueError, TypeError, reply(400, "value or type"))
    core.router.errorhandler(reply(500, "any"))
    assert ask(core, "/") == answer


def test_error_handlers_are_tried_in_order_even_if_a_later_class_is_closer():
    core = Core()
    core.router.use(lambda req, next: next(Missing()))
    core.router.errorhandler(LookupError, lambda error, req, next: req.reply(404, "first"))
    core.router.errorhandler(Missing, lambda error, req, next: req.reply(404, "second"))
    assert ask(core, "/") == (404, "first")


@pytest.mark.parametrize(
    ("path", "error", "answer"),
    [
        ("/files/7", KeyError(), (404, "no file 7")),
        ("/files/7", ValueError(), failed),
        ("/other/7", KeyError(), failed),
    ],
    ids=str,
)
def test_an_error_handler_may_be_for_a_path_and_a_class(path, error, answer):
    core = Core()
    core.router.use(lambda req, next: next(error))

    @core.router.errorhandler("/files/:id", KeyError)
    def no_file(error, req, next):
        req.reply(404, f"no file {req.params['id']}")

    assert ask(core, path) == answer


def test_an_error_handler_of_a_class_needs_a_function_after_it():
    router = Router()
    with pytest.raises(UsageError):
        router.errorhandler("/x", KeyError, 5)
    with pytest.raises(UsageError):
        router.errorhandler("/x", print, 5)


def test_a_second_final_reply_raises_in_the_handler():
    core = Core()

    @core.router.get("/")
    def reply_twice(req, next):
        req.reply(200, "first")
        with pytest.raises(AlreadyReplied):
            req.reply(200, "second")
        with pytest.raises(AlreadyReplied):
            req.reply(100, "late")

    alice = core.connect()
    assert alice.request("get", "/")["reason"] == "first"
    assert alice.take_all() == core.framework.errors == []
