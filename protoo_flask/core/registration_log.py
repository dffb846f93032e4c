"""The log of registrations: it notices an app factory that makes the same ones again.

A Protoo is shared by all apps that ``init_app()`` is called for, and its functions run for
each of them. So a factory that registers functions on a Protoo of its module doubles them
with the second app::

    protoo = Protoo()

    def create_app():
        app = Flask(__name__)
        protoo.init_app(app)

        @protoo.message("/echo")          # refused when create_app() runs again
        def echo(req, next): ...

Two registrations are the same if one line of the site makes both, for the same path, with
functions of the same code. They are refused if ``init_app()`` was called between them, or if
the router was mounted. A loop that registers many functions for one app is fine, and so is a
helper that is called with several paths.
"""

from __future__ import annotations

import functools
import inspect
import re
from types import CodeType, FunctionType
from typing import Any, Hashable

from .callers import find_calling_line
from .errors import UsageError

#: The right ways to register, for errors that tell of a wrong one.
TWO_WAYS = (
    "Either register when the module is imported, and only call protoo.init_app(app) in the app "
    "factory; or make the Protoo in the app factory, with protoo = Protoo(app), and register there"
)

#: Closures in closures: a fingerprint looks into them no deeper than this.
_DEPTH = 4

_SIMPLE = (str, bytes, int, float, bool, type(None), re.Pattern, CodeType)


class RegistrationLog:
    """The registrations of one router, route, or Protoo.

    :ivar made_at: the line of the site that made it.
    """

    def __init__(self) -> None:
        self.made_at = find_calling_line()
        #: The registrations since the last app was initialised, and those before it.
        self._new: set[Hashable] = set()
        self._old: set[Hashable] = set()

    def begin_app(self) -> None:
        """Note that another app has been initialised."""
        self._old |= self._new
        self._new.clear()

    def add(self, *subject: Any) -> None:
        """Note a registration that is about to be made.

        :param subject: its kind, its path, its functions: any objects.
        :raises UsageError: when it was made before, for another app.
        """
        place = find_calling_line()
        key = place, make_fingerprint(subject)
        if key in self._old:
            raise UsageError(
                f"{place} has registered the same before, for another app. A Protoo or Router "
                "outside of the app factory is shared by all apps, so each of them would have both "
                "registrations. " + TWO_WAYS
            )
        self._new.add(key)

    @property
    def fingerprint(self) -> Hashable:
        """A value that is the same for a twin: made by the same line, with the same in it."""
        return self.made_at, frozenset(self._old | self._new)


def make_fingerprint(value: Any, depth: int = _DEPTH) -> Hashable:
    """Return a value that is the same for objects made by the same code.

    Of two functions that an app factory defines each time that it runs, the code is the same.
    The objects that they share with their factory are not, so only plain values among these
    count. No object of the site is kept alive.

    >>> make_fingerprint(lambda: 1) == make_fingerprint(lambda: 2)
    False
    """
    if isinstance(value, _SIMPLE):
        return value
    if depth == 0:
        return _name_type(value)
    if isinstance(value, (list, tuple)):
        return tuple(make_fingerprint(item, depth - 1) for item in value)
    if isinstance(value, functools.partial):
        values = [value.func, *value.args, *sorted(value.keywords.items())]
        return tuple(make_fingerprint(item, depth - 1) for item in values)
    if inspect.ismethod(value):
        return _name_type(value.__self__), make_fingerprint(value.__func__, depth - 1)
    if isinstance(value, FunctionType):
        return value.__code__, _make_fingerprint_of_closure(value, depth - 1)
    registrations = getattr(value, "registrations", None)
    if isinstance(registrations, RegistrationLog):
        return registrations.fingerprint
    return _name_type(value)


def _name_type(value: Any) -> str:
    kind = value if isinstance(value, type) else type(value)
    return f"{kind.__module__}.{kind.__qualname__}"


def _make_fingerprint_of_closure(function: FunctionType, depth: int) -> Hashable:
    found = [make_fingerprint(value, depth) for value in function.__defaults__ or ()]
    for cell in function.__closure__ or ():
        try:
            found.append(make_fingerprint(cell.cell_contents, depth))
        except ValueError:  # the variable has no value yet
            found.append(None)
    return tuple(found)
