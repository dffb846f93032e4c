"""Chat, presence and audio/video calls for Flask sites that already exist."""

from . import signals
from .core.errors import Reject
from .core.peers.peer import Peer
from .core.request import Request
from .core.response import Response
from .core.routing.router import Router
from .core.transactions.client import ClientTransaction
from .extension import Protoo

__version__ = "0.1.0"

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
