"""Ready-made middleware: each takes the Protoo and returns a Router to mount."""

from .ice import ice_servers
from .messenger import p2p_messenger
from .presence import presence
from .rooms import room_handler
from .sessions import session_handler

__all__ = ["ice_servers", "p2p_messenger", "presence", "room_handler", "session_handler"]
