"""Sockets, time and concurrency in threads, under ``flask run``."""
