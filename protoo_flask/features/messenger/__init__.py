"""Instant messages from peer to peer."""
