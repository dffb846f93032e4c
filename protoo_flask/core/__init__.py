"""The pure core: wire format, routing, transactions, peers.

Nothing below this package imports Flask, gevent, a socket, a clock or a thread:
time, spawning and locks come in as a :class:`~.scheduling.Scheduler`, so every
rule here can be tested without waiting for anything.
"""
