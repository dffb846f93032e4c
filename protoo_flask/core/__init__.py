"""The pure core: wire format, routing, transactions, peers.

No module of this package imports Flask, gevent, a socket, a clock or a thread. Time,
spawning and locks come in as a :class:`~.scheduling.Scheduler`, so tests of these rules need
not wait for anything.
"""
