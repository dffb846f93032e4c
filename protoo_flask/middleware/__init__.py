"""Ready-made middleware: each takes the Protoo and returns a Router to mount."""

from .messenger import p2p_messenger

__all__ = ["p2p_messenger"]
