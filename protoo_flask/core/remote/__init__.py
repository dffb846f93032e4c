"""Peers of other nodes: the core in a cluster."""
