"""Queues of handshakes: those of one device at this node are let in one after the other.

A claim blocks. Of two handshakes of a device at the same time, the second one would find the claim
of the first, and no peer for it.
"""

from __future__ import annotations

from collections import deque
from typing import Tuple

from ..scheduling import Event, Scheduler

#: Username and uuid.
Device = Tuple[str, str]


class HandshakeQueues:
    """``{device: those that wait}``; a queue exists only while a handshake is being let in."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._lock = scheduler.lock()
        self._queues: dict[Device, deque[Event]] = {}

    def __len__(self) -> int:
        return len(self._queues)

    def __contains__(self, device: object) -> bool:
        return device in self._queues

    def enter(self, device: Device) -> None:
        """Return when it is the turn of a handshake of a device. May block."""
        with self._lock:
            queue = self._queues.get(device)
            if queue is None:
                self._queues[device] = deque()
                return
            turn = self._scheduler.event()
            queue.append(turn)
        try:
            turn.wait()
        except BaseException:
            # An exception that ends this greenlet. It may be its turn just now.
            with self._lock:
                is_waiting = turn in queue
                if is_waiting:
                    queue.remove(turn)
            if not is_waiting:
                self.leave(device)
            raise

    def leave(self, device: Device) -> None:
        """End the turn of a handshake."""
        with self._lock:
            queue = self._queues[device]
            if queue:
                queue.popleft().set()
            else:
                del self._queues[device]
