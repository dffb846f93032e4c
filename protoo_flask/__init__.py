"""Chat, presence and audio/video calls for Flask sites that already exist."""

from . import signals
from .core.errors import Reject
from .core.peers import Peer
from .core.request import Request
from .core.response import Response
from .core.router import Router
from .core.transactions import ClientTransaction
from .extension import Protoo

__all__ = [
    "ClientTransaction",
    "Peer",
    "Protoo",
    "Reject",
    "Request",
    "Response",
    "Router",
    "signals",
]
