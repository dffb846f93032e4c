"""Presence: which users are online, for the peers that may know."""
