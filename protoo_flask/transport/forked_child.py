"""The inheritance of a forked child: its parent's connections, which it must not touch.

A handler that calls ``os.fork()`` or starts a ``multiprocessing.Process`` (method "fork") copies
everything. The child then has the sockets of all clients, and on gevent's hub also the watchers
and timers. As soon as code in the child blocks, its copy of the hub would read messages of the
parent's clients, ping them and close them, and tell the site that they are offline.

So objects that hold connections are told in the child, before any other code runs there. The
sockets are closed without a word to the clients, who stay with the parent. The child
has no peers.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from typing import Any, Callable, Protocol

from gevent import monkey

#: gevent's own ``os.close()`` waits for the hub, which may never run again in a child.
_close: Callable[[int], None] = monkey.get_original("os", "close")


class Inherited(Protocol):
    """An object that belongs to the process that made it."""

    def leave_to_parent(self) -> None:
        """Let go of the connections, in the child: take no lock, block nowhere, send nothing.

        Only the thread that has forked exists, at any place of its code. Locks may be held for
        ever by threads that do not exist.
        """


_inherited: weakref.WeakSet[Any] = weakref.WeakSet()


def inherit(object: Inherited) -> None:
    """Have ``object.leave_to_parent()`` called in each child that this process forks."""
    _inherited.add(object)


def close_descriptor(sock: Any) -> None:
    """Close this process's descriptor of a socket; the connection stays the parent's.

    ``close()`` and ``shutdown()`` of the socket would tell the client.
    """
    with contextlib.suppress(OSError):
        _close(sock.detach())


def _leave_to_parent() -> None:
    with contextlib.ExitStack() as calls:
        # All of them are called even if one raises an exception.
        for object in list(_inherited):
            calls.callback(object.leave_to_parent)


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_leave_to_parent)
