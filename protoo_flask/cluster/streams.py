"""Streams: the frames of each sender, in order, with a look at what is missing.

The frames that a node sends to another are a stream; those that it sends to all are another one.
Redis keeps the order, and loses frames when a reader is slow or a connection ends. Nobody repeats
a frame, so one whose number does not rise has been recorded and sent again by somebody.

The number of a frame is the microsecond of its sending by Redis' clock, or one more than that of
the frame before it. So a node that has just joined knows frames that were recorded before it came,
and somebody sends again to all: their numbers are less than its ``floor``.
"""

from __future__ import annotations

from collections import OrderedDict

from .frames import Frame

#: The kinds of frames.
NEXT = "next"
AFTER_A_GAP = "after a gap"
REPEATED = "repeated"

#: Streams whose latest number is known. More than there are nodes; forged frames may fill it.
MAX_STREAMS = 10_000


class Streams:
    """The latest numbers of frames, by sender; what is sent and what is received, alike.

    :ivar floor: less than the number of each frame that somebody sends now for the first time.
    """

    def __init__(self) -> None:
        self.floor = 0
        #: Nodes that have gone: their ids do not come back.
        self._gone: OrderedDict[str, None] = OrderedDict()
        #: ``{(sender, to): seq}``; the one that was used last is the last one.
        self._latest: dict[tuple[str, str], int] = {}

    def take(self, frame: Frame) -> str:
        """Take note of a frame; returns what it is."""
        stream = frame.sender, frame.to
        latest = self._latest.pop(stream, None)
        if latest is not None and frame.seq <= latest:
            self._latest[stream] = latest
            return REPEATED
        if latest is None and (frame.seq < self.floor or frame.sender in self._gone):
            return REPEATED
        self._latest[stream] = frame.seq
        if len(self._latest) > MAX_STREAMS:
            del self._latest[next(iter(self._latest))]
        if latest is None:
            # Frames to all from before this node came are no loss.
            return NEXT if not frame.after or not frame.to else AFTER_A_GAP
        return NEXT if frame.after == latest else AFTER_A_GAP

    def get_senders(self) -> set[str]:
        """Return the nodes of which frames have come."""
        return {sender for sender, _ in self._latest}

    def forget(self, node: str) -> None:
        """Forget a node that has gone for ever: nothing of it is taken any more."""
        self._gone[node] = None
        if len(self._gone) > MAX_STREAMS:
            self._gone.popitem(last=False)
        for stream in [stream for stream in self._latest if stream[0] == node]:
            del self._latest[stream]
