"""The rim that touches sockets, greenlets, threads and the clock.

``websocket`` is pure: it answers the handshake, and turns bytes into messages and back.
``outbox`` writes without blocking, ``closing`` is the table of a connection's states, and
``connection`` puts them together. ``channel`` is a socket and how to wait for it;
``greenlets`` and ``threads`` implement it for either kind of server.
``server_sockets`` finds the socket of a request.

Modules named ``fast_...`` have a plain twin beside them. The tests compare the two, and
the docstring of the fast one gives its measured gain.
"""
