"""A server that opens a WebSocket before it calls the app, as gevent-websocket 0.10 does.

It is written anew, as that library is not maintained and would have to be installed for these
tests alone. It has the same order of steps: 101, ``wsgi.websocket``, the app, whose response
nobody reads, and a Close if the WebSocket is still open.
"""

from __future__ import annotations

from typing import Any

from gevent.pywsgi import WSGIHandler
from gunicorn.workers.ggevent import GeventPyWSGIWorker
from websockets.utils import accept_key


class WebSocket:
    """The object in the environ. Its ``close`` forgets the code, as that library's does."""

    def __init__(self, handler: Any) -> None:
        self._handler = handler
        self.closed = False

    def send_frame(self, message: bytes, opcode: int) -> None:
        self._handler.socket.sendall(bytes((0x80 | opcode, len(message))) + message)

    def close(self, code: int = 1000, message: str = "") -> None:
        self.send_frame(message.encode(), 0x8)
        self.closed = True


class AnsweringHandler(WSGIHandler):
    def run_application(self) -> None:
        if self.environ.get("HTTP_UPGRADE") != "websocket":
            super().run_application()
            return
        websocket = self.environ["wsgi.websocket"] = WebSocket(self)
        accept = accept_key(self.environ["HTTP_SEC_WEBSOCKET_KEY"])
        self.socket.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept.encode()
        )
        self.provided_content_length = self.response_use_chunked = False
        self.close_connection = True
        try:
            list(self.application(self.environ, lambda status, headers, exc_info=None: None))
        finally:
            if not websocket.closed:
                websocket.close()
        self.status = "101 Switching Protocols"
        self.headers_sent = True


class AnsweringWorker(GeventPyWSGIWorker):
    wsgi_handler = AnsweringHandler
