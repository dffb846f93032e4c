"""The contexts of :mod:`.contexts` in less time, where a probe finds no difference.

Flask's own push and pop make many objects that hardly any handler asks for: a URL adapter
above all. The contexts of :mod:`.light_contexts` are active without them. The contexts of one
message then take 9,200 instructions instead of 119,600, or 1 microsecond instead of 21; with
a teardown function of an extension for a database 15,300 instead of 124,200. The whole
request takes 46,000 instead of 166,000 (Flask 3.1.3, Python 3.11, ``dev.py bench
instructions``). With Flask 3.2, a message takes 6,800 instructions instead of 117,000.

This depends on details of Flask that are not public. So :func:`probe` compares both ways
before the first message of a process. Where it finds a difference, :func:`choose_context`
falls back on the simple way.
"""

from __future__ import annotations

import functools
import logging
from contextvars import Context, copy_context
from typing import Any, Callable

from flask import Flask, Request, appcontext_pushed

from .context_probe import observe
from .contexts import HandshakeContext
from .light_contexts import ARE_POSSIBLE, run_in_light_contexts

#: Like those in :mod:`.light_contexts`.
_pushed_receivers = appcontext_pushed.receivers

_logger = logging.getLogger(__name__)


def choose_context(app: Flask) -> type[HandshakeContext]:
    """Return the class that keeps the handshakes of an app."""
    return FastHandshakeContext if is_plain(app) and probe() else HandshakeContext


@functools.lru_cache(maxsize=None)
def probe() -> bool:
    """Whether the fast way gives the same as the simple way, with this release of Flask.

    This takes 20 milliseconds, once for a process.
    """
    if not ARE_POSSIBLE:
        return False
    try:
        # Contexts that are active now are no part of the case.
        fast, simple = (
            Context().run(observe, kind) for kind in (FastHandshakeContext, HandshakeContext)
        )
    except Exception:
        # A release that is not known yet may fail in any way.
        _logger.info("the fast contexts do not work with this Flask", exc_info=True)
        return False
    return fast == simple


#: Methods of Flask that the fast way calls later than Flask does, or not at all.
_METHODS = (
    "app_context",
    "request_context",
    "do_teardown_appcontext",
    "do_teardown_request",
    "ensure_sync",
)


def is_plain(app: Flask) -> bool:
    """Whether an app makes its contexts, and ends them, as Flask does."""
    kind = type(app)
    return app.request_class.close is Request.close and not any(
        name in vars(app) or getattr(kind, name) is not getattr(Flask, name) for name in _METHODS
    )


class FastHandshakeContext(HandshakeContext):
    """The same as its base class, in less time."""

    __slots__ = ()

    def run(self, function: Callable[..., Any], *args: Any) -> None:
        """Call ``function(*args)`` in contexts of its own, then run the teardowns."""
        if _pushed_receivers:
            HandshakeContext.run(self, function, *args)
        else:
            # Variables that are set in a copy need not be set back: half of the work.
            copy_context().run(
                run_in_light_contexts, self._app, self._request, self._session, function, args
            )
