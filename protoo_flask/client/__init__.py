"""A client in Python: a script, a bot or a probe that is a peer like a browser."""

from ..core.request import Request
from ..core.response import Response
from ..core.transactions.client import ClientTransaction
from .client import Client
from .events import Closed, Disconnected, Refused

__all__ = [
    "Client",
    "ClientTransaction",
    "Closed",
    "Disconnected",
    "Refused",
    "Request",
    "Response",
]
