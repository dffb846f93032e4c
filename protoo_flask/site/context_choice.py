"""The choice between the simple way into contexts and the fast one.

The fast way (:mod:`.fast_contexts`) depends on details of Flask that are not public. So
:func:`probe` compares both ways before the first message of a process. Where it finds a
difference, :func:`choose_context` falls back on the simple way (:mod:`.contexts`).
"""

from __future__ import annotations

import functools
import logging
from contextvars import Context

from flask import Flask, Request

from .context_probe import observe
from .contexts import HandshakeContext
from .fast_contexts import ARE_POSSIBLE, FastHandshakeContext

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
    if fast != simple:
        _logger.info("the fast contexts give another result with this Flask")
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
