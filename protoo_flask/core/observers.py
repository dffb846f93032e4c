"""The observers of one app, joined to one.

Each method of :class:`Observers` is made of those that the listeners override:

==========================  ==================================================================
so many override a method   then it is
==========================  ==================================================================
none                        that of :class:`~.observer.Observer`, which does nothing; of those in
                            :data:`OF_EACH_MESSAGE`, ``None``: the core does not call it
one                         the method of the listener, in a guard against its errors
several                     a loop over these
==========================  ==================================================================

Among threads, each call holds a lock, so that a listener need not have one. No listener takes
another lock meanwhile, except that of a log.
"""

from __future__ import annotations

import logging
from typing import Any, Callable, ContextManager, Sequence, cast

from .exits import is_contained
from .observer import Observer
from .tracebacks import log_error

Method = Callable[..., None]

#: The methods that an app's listeners are told by.
METHODS = tuple(
    name
    for name, value in vars(Observer).items()
    if callable(value) and not name.startswith("_") and name != "begin_app"
)

#: The methods that would be called for each message. Most listeners override none of them, and a
#: call that does nothing is 1 % of a request.
OF_EACH_MESSAGE = ("received", "admitted", "sent")


class Observers:
    """Tells several listeners; to the core, it is an :class:`~.observer.Observer`.

    It is no subclass: Python finds a slot at once, and looks in four places for an attribute that
    hides a method. For the messages of a request, that would be 1 % of it.

    :param listeners: in the order in which they are told.
    :param logger: for errors of listeners.
    :param lock: held while they are called; ``None``: they are called in one thread only.
    """

    __slots__ = (*METHODS, "_known", "_listeners", "_logger")

    def __init__(
        self,
        listeners: Sequence[Observer],
        logger: Any,
        lock: ContextManager[Any] | None = None,
    ) -> None:
        nobody = Observer()
        self._listeners = listeners
        self._logger = logger
        #: The methods of listeners whose errors have been logged.
        self._known: set[tuple[int, str]] = set()
        for name in METHODS:
            methods = [
                self._guard(listener, name) for listener in listeners if _overrides(listener, name)
            ]
            if methods:
                method = methods[0] if len(methods) == 1 else _call_all(methods)
                setattr(self, name, method if lock is None else _hold(lock, method))
            else:
                setattr(self, name, None if name in OF_EACH_MESSAGE else getattr(nobody, name))

    def _guard(self, listener: Observer, name: str) -> Method:
        method: Method = getattr(listener, name)
        if not listener.is_guarded:
            return method

        def call(*args: Any) -> None:
            try:
                method(*args)
            except BaseException as error:
                if not is_contained(error):
                    raise
                self._complain(listener, name, error)

        return call

    def _complain(self, listener: Observer, name: str, error: BaseException) -> None:
        """Log the first error of each method: a method may be called for each message."""
        key = id(listener), name
        if key in self._known:
            return
        self._known.add(key)
        log_error(
            self._logger,
            error,
            "error in %s.%s, a listener of protoo.observe(); further errors of it are not logged",
            type(listener).__name__,
            name,
        )


def join(
    listeners: Sequence[Observer], logger: logging.Logger, lock: ContextManager[Any] | None
) -> Observer | None:
    """Return the observer of an app; ``None`` without listeners: nothing is called then."""
    return cast(Observer, Observers(listeners, logger, lock)) if listeners else None


def _overrides(listener: Observer, name: str) -> bool:
    method = getattr(listener, name)
    return getattr(method, "__func__", method) is not vars(Observer)[name]


def _call_all(methods: Sequence[Method]) -> Method:
    def call(*args: Any) -> None:
        for method in methods:
            method(*args)

    return call


def _hold(lock: ContextManager[Any], method: Method) -> Method:
    def call(*args: Any) -> None:
        with lock:
            method(*args)

    return call
