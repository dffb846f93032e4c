"""The functions of a site: they are checked at registration, and named in logs."""

from __future__ import annotations

import functools
import inspect
from types import FunctionType
from typing import Any, Callable, Protocol, TypeVar

from .errors import UsageError
from .excerpts import excerpt_of
from .registration_log import RegistrationLog

F = TypeVar("F", bound=Callable[..., Any])


class Decorator(Protocol):
    """The result of a registration without functions: it returns the decorated function."""

    def __call__(self, function: F, /) -> F: ...


#: The forms of handlers, as the errors about other functions show them.
MIDDLEWARE = "fn(req, next)"
ERROR_HANDLER = "fn(error, req, next)"


def check_function(function: Any, form: str = MIDDLEWARE) -> Any:
    """Return ``function``, if it can be called in this form and without ``await``.

    :param form: the call that will be made, such as ``fn(peer)``.
    :raises UsageError: if not, with the expected form and the value that came.
    """
    if not callable(function):
        expected = f"a function {form}"
        if form in (MIDDLEWARE, ERROR_HANDLER):
            expected = f"a path first, then functions {form} or routers"
        raise UsageError(
            f"expected {expected}; got {excerpt_of(function)} where a function belongs"
        )
    if _is_async(function) or _is_async(function.__call__):
        raise UsageError(
            f"{name_function(function)} is a coroutine function; handlers are plain functions "
            "here (each runs in a greenlet, so blocking calls are fine)"
        )
    if inspect.isgeneratorfunction(function) or inspect.isgeneratorfunction(function.__call__):
        raise UsageError(
            f"{name_function(function)} is a generator function: a call of "
            "it runs nothing. Remove its yield; to answer in parts, reply with a 1xx first"
        )
    _check_signature(function, form)
    return function


def _check_signature(function: Any, form: str) -> None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # a function written in C may have no signature
    if form == MIDDLEWARE and str(signature.return_annotation).endswith("Router"):
        name = getattr(function, "__name__", "it")
        raise UsageError(f"{name} makes a Router: call it, as in use(path, {name}(protoo))")
    names = form[form.index("(") + 1 : -1]
    try:
        signature.bind(*names.split(", ") if names else ())
    except TypeError:
        raise UsageError(
            f"{describe_shortly(function)}{signature} cannot be called as {form}, the form that is "
            f"expected here{_locate_in_words(function)}"
        ) from None


def _is_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def name_function(function: Any) -> str:
    """Return the name and the place of a function: ``chat.store (/app/chat.py:81)``.

    It is for logs and errors, in the place of ``repr()``, which shows an address in memory.
    """
    return describe_shortly(function) + _locate_in_words(function)


def show(value: Any) -> str:
    """Return a value for an error about it: a function by its name and place, else an excerpt."""
    return name_function(value) if isinstance(value, FunctionType) else excerpt_of(value)


def describe_shortly(function: Any) -> str:
    """Return the name of a function with its module: ``chat.create_app.store``.

    It has no ``<locals>``, which is noise in a table and beside a line number.
    """
    return describe(function).replace(".<locals>", "")


def _locate_in_words(function: Any) -> str:
    """Return the place of a function's definition for a sentence: "" if it is unknown."""
    place = find_definition(function)
    return f" ({place})" if place else ""


def describe(function: Any) -> str:
    """Return the whole name of a function: ``chat.create_app.<locals>.store``."""
    target = unwrap(function)
    name = getattr(target, "__qualname__", None)
    if name is None:
        return type(target).__name__
    return f"{target.__module__}.{name}"


def find_definition(function: Any) -> str:
    """Return the place of a definition, ``/app/chat.py:81``; "" if it is unknown.

    That of an object is the place of its method ``__call__``, and that of a router the line
    that made it.
    """
    registrations = getattr(function, "registrations", None)
    if isinstance(registrations, RegistrationLog):
        return registrations.made_at
    return locate(function) or locate(type(unwrap(function)).__call__)


def locate(function: Any) -> str:
    """Return the place of a function's definition, ``/app/chat.py:81``; "" if it is unknown."""
    code = getattr(unwrap(function), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else ""


def unwrap(function: Any) -> Any:
    """Return the function in partials, bound methods and decorators, in any order of these."""
    while True:
        target = inspect.unwrap(getattr(function, "__func__", function))
        if isinstance(target, functools.partial):
            target = target.func
        if target is function:
            return target
        function = target


def passed_through(function: Any, error: BaseException) -> bool:
    """Whether an error was raised inside of a function; true if that cannot be known."""
    code = getattr(unwrap(function), "__code__", None)
    if code is None:
        return True
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code is code:
            return True
        trace = trace.tb_next
    return False
