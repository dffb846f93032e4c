"""Peers: connected clients, their links, and the directory that finds them."""
