"""Attacks on a server with default settings: how much one client can make it hold."""
