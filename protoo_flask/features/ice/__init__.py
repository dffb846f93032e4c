"""STUN and TURN servers, for the calls of browsers."""
