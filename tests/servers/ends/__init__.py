"""Servers that end: drains, shutdowns, workers that leave."""
