"""Matching: path patterns, and which layers of a router may apply to a path."""
