"""The rim that touches sockets, greenlets, threads and the clock.

``handshake`` answers the upgrade, ``frames`` turns bytes into messages and back,
``outbox`` writes without blocking, ``connection`` puts them together; ``greenlets``
and ``threads`` say what waiting means under either kind of server.
"""
