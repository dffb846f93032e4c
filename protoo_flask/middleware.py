"""Ready-made middleware: each takes the Protoo and returns a Router to mount."""

from .features.calls.middleware import session_handler
from .features.ice.middleware import ice_servers
from .features.messenger.middleware import p2p_messenger
from .features.presence.middleware import presence
from .features.rooms.middleware import room_handler

__all__ = ["ice_servers", "p2p_messenger", "presence", "room_handler", "session_handler"]
