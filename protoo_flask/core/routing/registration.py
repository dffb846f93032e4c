"""Registration on a router: the forms of paths, methods and functions, checked at once."""

from __future__ import annotations

import re
from typing import Any, Callable, Sequence, Union

from ..errors import RegistrationClosed, UsageError
from ..functions import MIDDLEWARE, check_function, show
from ..registration_log import TWO_WAYS
from ..request import Request
from .matching.patterns import PathPattern

Next = Callable[..., None]
Handler = Callable[[Request, Next], Any]
ErrorHandler = Callable[[Any, Request, Next], Any]
ParamHandler = Callable[[Request, Next, str], Any]

#: An argument of a registration: a path (first, optional), a function, a router, or a list.
Registered = Union[PathPattern, Callable[..., Any], Sequence[Any]]


def split_path(args: Sequence[Any], form: str = MIDDLEWARE) -> tuple[PathPattern | None, list[Any]]:
    """Split ``([path], *functions)``; nested lists of functions are flattened.

    :raises UsageError: for an argument that is neither a path nor a function.
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

    :raises UsageError: for an empty list in it, which would register nothing in silence.
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


def check_method(name: Any) -> str:
    """Return ``name``, if a request can have it as its method.

    :raises UsageError: if it cannot.
    """
    if not isinstance(name, str) or not name:
        raise UsageError(f'a method is a non-empty string, like "message", not {show(name)}')
    return name


def check_open(frozen: bool) -> None:
    """Check that there was no connection yet.

    :raises RegistrationClosed: with the right times to register.
    """
    if frozen:
        raise RegistrationClosed(
            "routes and handlers are registered before the first connection to any app of the "
            f"Protoo. {TWO_WAYS}"
        )
