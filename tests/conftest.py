"""What holds for every test: it leaves nothing behind."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from typing import Any, Iterator
from weakref import WeakSet

import pytest
from hypothesis import settings

from protoo_flask import signals
from protoo_flask.site.site import Site

#: Seconds that threads which are about to end may take.
PATIENCE = 20.0

SIGNALS = [signal for signal in vars(signals).values() if hasattr(signal, "receivers")]


# A busy machine may take longer than any deadline, and no example stays on the disk.
settings.register_profile("protoo_flask", deadline=None, database=None)
settings.load_profile("protoo_flask")


@pytest.fixture(autouse=True)
def nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test after which a thread runs, a peer is listed or a signal has a receiver."""
    sites: WeakSet[Site] = WeakSet()
    init = Site.__init__

    def remember(self: Site, *args: Any) -> None:
        init(self, *args)
        sites.add(self)

    monkeypatch.setattr(Site, "__init__", remember)
    receivers = {signal: set(signal.receivers) for signal in SIGNALS}
    yield
    assert [peer for site in sites for peer in site.peers()] == []
    new = {signal.name: set(signal.receivers) - receivers[signal] for signal in SIGNALS}
    assert {name: found for name, found in new.items() if found} == {}
    deadline = time.monotonic() + PATIENCE
    left = protoo_threads()
    while left and time.monotonic() < deadline:
        left[0].join(max(0.0, deadline - time.monotonic()))
        left = protoo_threads()  # a thread of timers may have started another one
    assert left == [], "".join(map(describe_thread, left))


def protoo_threads() -> list[threading.Thread]:
    found = threading.enumerate()
    return [thread for thread in found if thread.name.startswith("protoo") and thread.is_alive()]


def describe_thread(thread: threading.Thread) -> str:
    """Tell where a thread is."""
    frame = sys._current_frames().get(thread.ident or 0)
    return f"{thread.name}:\n{''.join(traceback.format_stack(frame)) if frame else 'ended'}\n"
