"""Functions of a site: which are accepted at registration, and how logs name them."""

from __future__ import annotations

import functools

import pytest

from protoo_flask.core.errors import UsageError
from protoo_flask.core.functions import (
    ERROR_HANDLER,
    check_function,
    describe,
    locate,
    name_function,
    passed_through,
)
from protoo_flask.core.routing.router import Router


def middleware(req, next): ...


class Handler:
    def __call__(self, req, next): ...

    def handle(self, req, next): ...


class AsyncHandler:
    async def __call__(self, req, next): ...


async def async_middleware(req, next): ...


@pytest.mark.parametrize(
    "function",
    [
        middleware,
        lambda *args: None,
        lambda req, next, more=None: None,
        Handler(),
        Handler().handle,
        functools.partial(lambda first, req, next: None, 1),
    ],
)
def test_anything_that_takes_the_arguments_is_accepted_and_returned(function):
    assert check_function(function) is function


def test_a_function_is_checked_for_the_form_in_which_it_is_called():
    with pytest.raises(UsageError, match=r"cannot be called as fn\(error, req, next\)"):
        check_function(middleware, ERROR_HANDLER)
    with pytest.raises(UsageError, match=r"cannot be called as fn\(peer\)"):
        check_function(middleware, "fn(peer)")
    assert check_function(lambda: None, "fn()")() is None


def test_the_error_names_the_function_its_signature_and_its_place():
    with pytest.raises(UsageError) as caught:
        check_function(middleware, "fn(peer)")
    line = middleware.__code__.co_firstlineno
    assert f"{__name__}.middleware(req, next) cannot be called" in str(caught.value)
    assert f"({__file__}:{line})" in str(caught.value)


@pytest.mark.parametrize("function", [async_middleware, AsyncHandler()], ids=["function", "object"])
def test_a_coroutine_function_is_refused(function):
    with pytest.raises(UsageError, match="is a coroutine function; handlers are plain functions"):
        check_function(function)


@pytest.mark.parametrize("value", [None, "print", 5], ids=repr)
def test_a_value_that_cannot_be_called_is_refused_with_the_form_that_is_expected(value):
    with pytest.raises(UsageError, match=r"expected a function fn\(peer\); got"):
        check_function(value, "fn(peer)")


def test_a_function_that_makes_a_router_is_refused_with_the_call_that_is_missing():
    def rooms(protoo) -> Router: ...

    with pytest.raises(UsageError, match=r"rooms makes a Router: call it, as in use\(path, rooms"):
        check_function(rooms)


def wrap(function):
    @functools.wraps(function)
    def wrapped(*args): ...

    return wrapped


@pytest.mark.parametrize(
    "function",
    [middleware, wrap(middleware), functools.partial(middleware, None)],
    ids=["function", "decorated", "partial"],
)
def test_a_function_is_named_and_located_through_its_wrappers(function):
    assert describe(function) == f"{__name__}.middleware"
    assert locate(function) == f"{__file__}:{middleware.__code__.co_firstlineno}"


def test_a_method_is_named_with_its_class_and_an_object_by_its_class():
    assert describe(Handler().handle) == f"{__name__}.Handler.handle"
    assert describe(Handler()) == "Handler"
    assert locate(Handler()) == locate(print) == ""


class Caller:
    def __call__(self, req, next): ...


@pytest.mark.parametrize(
    ("function", "name", "code"),
    [
        (middleware, "middleware", middleware.__code__),
        (Handler().handle, "Handler.handle", Handler.handle.__code__),
        (wrap(wrap(middleware)), "middleware", middleware.__code__),
        (functools.partial(Handler().handle, None), "Handler.handle", Handler.handle.__code__),
        (
            functools.partial(functools.partial(wrap(middleware), None), None),
            "middleware",
            middleware.__code__,
        ),
    ],
)
def test_a_log_names_a_function_with_its_place(function, name, code):
    expected = f"{__name__}.{name} ({__file__}:{code.co_firstlineno})"
    assert name_function(function) == expected


def test_a_log_names_a_function_in_another_one_without_noise():
    def local(req, next): ...

    test = test_a_log_names_a_function_in_another_one_without_noise.__name__
    line = local.__code__.co_firstlineno
    assert name_function(local) == f"{__name__}.{test}.local ({__file__}:{line})"
    assert name_function(lambda: 1) == f"{__name__}.{test}.<lambda> ({__file__}:{line + 5})"


def test_a_log_names_an_object_with_the_place_of_its_call():
    line = Caller.__call__.__code__.co_firstlineno
    assert name_function(Caller()) == f"Caller ({__file__}:{line})"
    assert name_function(functools.partial(Caller(), 1)) == f"Caller ({__file__}:{line})"


def test_a_log_names_a_router_with_the_line_that_made_it():
    router = Router()
    code = test_a_log_names_a_router_with_the_line_that_made_it.__code__
    assert name_function(router) == f"Router ({__file__}:{code.co_firstlineno + 1})"


def test_a_log_names_a_function_without_a_place():
    assert name_function(print) == "builtins.print"


def test_the_errors_of_registration_name_functions():
    with pytest.raises(UsageError, match=rf"^{__name__}.async_middleware \({__file__}:\d+\) is"):
        check_function(async_middleware)


def test_an_error_passed_through_the_functions_of_its_traceback():
    def fail():
        raise ValueError("no")

    def fail_deeper():
        fail()

    def another():
        """A function that was not called."""

    with pytest.raises(ValueError, match="no") as caught:
        fail_deeper()
    assert passed_through(fail_deeper, caught.value)
    assert passed_through(fail, caught.value)
    assert not passed_through(another, caught.value)
    assert passed_through(print, caught.value)  # nobody knows
