"""Ready-made middleware: each takes the Protoo and returns a Router to mount."""

from .messenger import p2p_messenger
from .presence import presence
from .sessions import session_handler

__all__ = ["p2p_messenger", "presence", "session_handler"]
