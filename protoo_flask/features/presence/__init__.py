"""Presence: the users that are online, for the peers that may watch them."""
