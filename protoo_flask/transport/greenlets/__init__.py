"""Sockets, time and concurrency on gevent's hub."""
