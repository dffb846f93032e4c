"""Ready-made middleware: each takes the Protoo and returns a Router to mount."""

from .messenger import p2p_messenger
from .presence import presence

__all__ = ["p2p_messenger", "presence"]
