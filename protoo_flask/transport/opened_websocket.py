"""A WebSocket that the server has opened before it called the app.

gevent-websocket does so (its handler for pywsgi, and its worker for gunicorn), and puts the
WebSocket into the environ. Its 101 response is on the way, without our sub-protocol, so a
second answer would only break the stream. The client can be told by a Close frame, and nobody
reads the response of the app.
"""

from __future__ import annotations

import contextlib
from typing import Any, Mapping

from ..core.close_codes import INTERNAL_ERROR
from .websocket.frames import CLOSE, close_payload
from .websocket.handshake import HandshakeError

#: At most 123 bytes, as it goes into a Close frame (RFC 6455 section 5.5).
REASON = (
    "gevent-websocket has answered the handshake: use gunicorn --worker-class gevent, "
    "or pywsgi without handler_class"
)


def refuse_opened_websocket(environ: Mapping[str, Any]) -> None:
    """Close the WebSocket of a request, if the server has opened one.

    :raises HandshakeError: 500, for the log.
    """
    websocket = environ.get("wsgi.websocket")
    if websocket is not None:
        # A client that has gone meanwhile is an error of that library.
        with contextlib.suppress(Exception):
            _close(websocket)
        raise HandshakeError(500, REASON)


def _close(websocket: Any) -> None:
    if hasattr(websocket, "send_frame"):
        # gevent-websocket 0.10.1 sends the reason in the place of the code.
        websocket.send_frame(close_payload(INTERNAL_ERROR, REASON), CLOSE)
        websocket.closed = True
    else:
        websocket.close(INTERNAL_ERROR, REASON)
