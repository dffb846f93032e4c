"""A server in the process of its clients: a test kit, which has no sockets.

Such a server puts itself into the environ of a handshake. The rest of the handshake is that of any
other server: the view, the authorization and the negotiation are the same code.
"""

from __future__ import annotations

from typing import Any, Callable, Mapping, Protocol

from .channel import Channel, Loop

#: The key of the environ. A client cannot set it: its headers begin with ``HTTP_``.
KEY = "protoo_flask.in_process_server"


class InProcessServer(Protocol):
    """A server without sockets.

    :ivar loop: serves all of its connections.
    """

    loop: Loop

    def accept(self, start: Callable[[Channel, bytes], Any], handshake: bytes) -> None:
        """Take a client that was let in.

        :param start: makes the connection of a channel; to be served when the response has ended.
        :param handshake: the bytes of the 101.
        """


def find_in_process_server(environ: Mapping[str, Any]) -> InProcessServer | None:
    """Return the server of a request, if it is one without sockets."""
    server: InProcessServer | None = environ.get(KEY)
    return server
