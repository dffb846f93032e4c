"""The active request context, which each release of Flask has elsewhere."""

from __future__ import annotations

from typing import Any

import flask.globals

from protoo_flask.site.contexts import CONTEXTS_ARE_MERGED


def active_context() -> Any:
    """Return the request context that is active."""
    if CONTEXTS_ARE_MERGED:
        return flask.globals.app_ctx._get_current_object()  # type: ignore[attr-defined]
    if hasattr(flask.globals, "request_ctx"):
        return flask.globals.request_ctx._get_current_object()  # type: ignore[attr-defined]
    return flask.globals._request_ctx_stack.top
