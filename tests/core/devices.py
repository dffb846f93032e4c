"""Alice's only device, which a test brings into a state."""

from __future__ import annotations

from tests.fakes import Core

GRACE = 10
ONLINE = ["peer_online", "user_online"]
OFF = ["peer_offline", "user_offline"]


class Device:
    """Alice's only device, brought into a state, and what may happen to it."""

    def __init__(self, grace_period=GRACE, **options):
        self.core = Core(grace_period=grace_period, **options)
        self.directory = self.core.application.directory
        self.client = self.core.connect("alice", "a1")
        self.peer = self.client.peer
        self.older = self.client  # the link before this one

    def connect(self):
        self.older, self.client = self.client, self.core.connect("alice", "a1")

    def drop(self):
        self.client.drop()

    def reload(self):
        self.client.drop(1001)

    def leave(self):
        self.client.leave()

    def leave_without_code(self):
        self.client.drop(1005)

    def old_link_ends(self):
        self.older.drop()

    def old_link_leaves(self):
        self.older.leave()

    def disconnect(self):
        self.core.application.disconnect("alice", None, 3001, "banned")

    def close(self):
        self.peer.close()

    def close_all(self):
        self.core.application.close()

    def expire(self):
        self.core.scheduler.advance(GRACE)

    def expire_late(self):
        """Let a timer fire that nobody could stop any more: that of an earlier absence."""
        assert self.mailbox is not None
        self.directory._expire(self.peer, self.mailbox)

    @property
    def told(self):
        told = [name for name, _ in self.core.framework.told]
        self.core.framework.told.clear()
        return told

    def enter(self, state):
        if state == "taken over":
            self.connect()
        elif state in ("back", "away", "gone"):
            self.drop()
            self.mailbox = self.peer.outbound.mailbox
            if state == "gone":
                self.expire()
            elif state == "back":
                self.connect()
        elif state == "away again":
            self.enter("back")
            self.drop()
        assert self.told
        return self
