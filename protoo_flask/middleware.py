"""Ready-made middleware: each takes the Protoo and returns a Router to mount.

``Room`` and ``Session`` are the arguments of ``on_room`` and ``on_session``, for type hints.
"""

from .features.calls.middleware import session_handler
from .features.calls.session import Session
from .features.ice.middleware import ice_servers
from .features.messenger.middleware import p2p_messenger
from .features.presence.middleware import presence
from .features.rates.middleware import rate_limit
from .features.rooms.middleware import room_handler
from .features.rooms.room import Room

__all__ = [
    "Room",
    "Session",
    "ice_servers",
    "p2p_messenger",
    "presence",
    "rate_limit",
    "room_handler",
    "session_handler",
]
