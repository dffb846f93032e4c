"""Given replies: what a client has answered to its server, in case a request comes again.

After a reconnection, the server sends again its requests without a final response. The client
must not act twice, and repeats its latest response (RFC 3261 section 17.2.1). The limits are those
of protoo.js: a server repeats a request only within its time limit, by default 10 s.
"""

from __future__ import annotations

from typing import ContextManager

#: Requests that are remembered after their final response, and bytes of these responses. 1 MiB is
#: also the limit of the server for messages that wait for one peer.
MAX_ANSWERED = 500
MAX_ANSWERED_SIZE = 1024 * 1024

#: Requests that are remembered before it: few, but for a program that never replies.
MAX_IN_PROGRESS = 10_000


class GivenReplies:
    """The latest response to each request of a server.

    :param lock: held while something is looked up or changed.
    """

    def __init__(self, lock: ContextManager[object]) -> None:
        self._lock = lock
        # Two dicts, so that many answered requests do not push out those in progress.
        self._in_progress: dict[int, bytes] = {}
        self._answered: dict[int, bytes] = {}
        self._size = 0

    def admit(self, id: int) -> bytes | None:
        """Begin a request; ``None`` when it is new.

        :returns: otherwise, the latest response to it; empty: there is none yet.
        """
        with self._lock:
            latest = self._answered.get(id, self._in_progress.get(id))
            if latest is None:
                self._in_progress[id] = b""
                if len(self._in_progress) > MAX_IN_PROGRESS:
                    del self._in_progress[next(iter(self._in_progress))]
            return latest

    def keep(self, id: int, payload: bytes, is_final: bool) -> None:
        """Remember a response."""
        with self._lock:
            if not is_final:
                self._in_progress[id] = payload
                return
            self._in_progress.pop(id, None)
            self._answered[id] = payload
            self._size += len(payload)
            while len(self._answered) > 1 and (
                len(self._answered) > MAX_ANSWERED or self._size > MAX_ANSWERED_SIZE
            ):
                self._size -= len(self._answered.pop(next(iter(self._answered))))
