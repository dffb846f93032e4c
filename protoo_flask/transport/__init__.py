"""The rim that touches sockets, greenlets, threads and the clock.

``websocket`` turns bytes into messages and back, ``outbox`` writes without blocking, and
``connection`` joins them to one link. ``greenlets`` and ``threads`` are the two worlds in which
a connection may wait.
"""
