"""What may be registered on a router: paths and functions, checked at once."""

from __future__ import annotations

import functools
import inspect
import re
from typing import TYPE_CHECKING, Any, Callable, Protocol, Sequence, TypeVar, Union

from .errors import UsageError
from .patterns import PathPattern

if TYPE_CHECKING:
    from .request import Request

Next = Callable[..., None]
Handler = Callable[["Request", Next], Any]
ErrorHandler = Callable[[Any, "Request", Next], Any]
ParamHandler = Callable[["Request", Next, str], Any]

F = TypeVar("F", bound=Callable[..., Any])


class Decorator(Protocol):
    """What a registration without functions returns: it gives back what it is given."""

    def __call__(self, function: F, /) -> F: ...


#: What a registration takes: a path first, maybe; functions, routers, lists of these.
Registered = Union[PathPattern, Callable[..., Any], Sequence[Any]]


#: How functions are called, in the words of the errors for those that cannot be.
MIDDLEWARE = "fn(req, next)"
ERROR_HANDLER = "fn(error, req, next)"


def split_path(args: Sequence[Any], form: str = MIDDLEWARE) -> tuple[PathPattern | None, list[Any]]:
    """Split ``([path], *functions)``; nested lists of functions are flattened.

    :raises UsageError: for anything that is neither.
    """
    rest = list(args)
    path = rest.pop(0) if rest and is_path(rest[0]) else None
    return path, flatten(rest, form)


def split_error_classes(
    args: Sequence[Any],
) -> tuple[list[Any], tuple[type[BaseException], ...]]:
    """Take the classes of exceptions out of ``([path], *classes, *functions)``."""
    rest = list(args)
    at = 1 if rest and is_path(rest[0]) else 0
    classes = []
    while at < len(rest) and isinstance(rest[at], type) and issubclass(rest[at], BaseException):
        classes.append(rest.pop(at))
    return rest, tuple(classes)


def is_path(value: Any) -> bool:
    """Whether ``value`` is a path pattern: a string, a compiled regex, or a list of these."""
    if isinstance(value, (list, tuple)):
        return bool(value) and all(isinstance(item, (str, re.Pattern)) for item in value)
    return isinstance(value, (str, re.Pattern))


def flatten(functions: Sequence[Any], form: str = MIDDLEWARE) -> list[Any]:
    """Return the functions of a nested list of functions, each checked.

    :raises UsageError: for an empty list in it, which would silently do nothing.
    """
    flat: list[Any] = []
    for function in functions:
        if isinstance(function, (list, tuple)):
            if not function:
                raise UsageError("expected a path or functions; got an empty list")
            flat.extend(flatten(function, form))
        else:
            flat.append(check_function(function, form))
    return flat


def check_function(function: Any, form: str = MIDDLEWARE) -> Any:
    """Return ``function`` when it can be called, with so many arguments and no ``await``.

    :param form: how it will be called, such as ``fn(peer)``.
    :raises UsageError: saying what came instead.
    """
    if not callable(function):
        expected = f"a function {form}"
        if form in (MIDDLEWARE, ERROR_HANDLER):
            expected = f"a path first, then functions {form} or routers"
        raise UsageError(f"expected {expected}; got {function!r} where a function belongs")
    if _is_async(function) or _is_async(function.__call__):
        raise UsageError(
            f"{function!r} is a coroutine function; handlers are plain functions here "
            "(each runs in a greenlet, so blocking calls are fine)"
        )
    _check_signature(function, form)
    return function


def _check_signature(function: Any, form: str) -> None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # written in C, and does not say
    if form == MIDDLEWARE and str(signature.return_annotation).endswith("Router"):
        name = getattr(function, "__name__", "it")
        raise UsageError(f"{name} makes a Router: call it, as in use(path, {name}(protoo))")
    names = form[form.index("(") + 1 : -1]
    try:
        signature.bind(*names.split(", ") if names else ())
    except TypeError:
        raise UsageError(
            f"{describe(function)}{signature} cannot be called as {form}, which is what is "
            f"expected here{_locate_in_words(function)}"
        ) from None


def _locate_in_words(function: Any) -> str:
    place = locate(function)
    return f" ({place})" if place else ""


def _is_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def describe(function: Any) -> str:
    """Return the name of a function as one would search for it: ``chat.store``."""
    target = _unwrap(function)
    name = getattr(target, "__qualname__", None)
    if name is None:
        return type(target).__name__
    return f"{target.__module__}.{name}"


def locate(function: Any) -> str:
    """Return where a function is defined, ``/app/chat.py:81``; "" when that is unknown."""
    code = getattr(_unwrap(function), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else ""


def _unwrap(function: Any) -> Any:
    target = inspect.unwrap(getattr(function, "__func__", function))
    return target.func if isinstance(target, functools.partial) else target


def check_method(name: Any) -> str:
    """Return ``name`` when it can be the method of a request."""
    if not isinstance(name, str) or not name:
        raise UsageError(f'a method is a non-empty string, like "message", not {name!r}')
    return name
