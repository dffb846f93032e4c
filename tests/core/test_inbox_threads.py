"""An inbox among real threads: no request is lost, and reading never stays paused.

The threads may switch between any two lines. Nothing sleeps: a thread that would
wait for ever fails the test by a timeout.
"""

from __future__ import annotations

import json
import queue
import random
import sys
import threading
import time

import pytest

from protoo_flask.core import backlog as backlog_module
from protoo_flask.core import inbox as inbox_module
from protoo_flask.core import workload as workload_module
from protoo_flask.core.transactions import open_requests as open_requests_module
from protoo_flask.core.transactions import server as server_module
from tests.fakes import Core, FakeLink, FakeScheduler

#: Seconds after which a thread that waits will wait for ever.
PATIENCE = 20


class ThreadScheduler(FakeScheduler):
    """Spawns real threads, which the test joins."""

    def __init__(self):
        super().__init__()
        self.spawned = []

    def spawn(self, function, *args):
        thread = threading.Thread(target=function, args=args)
        thread.start()
        self.spawned.append(thread)  # now it can be joined

    def lock(self):
        return threading.RLock()

    def join(self):
        for thread in self.spawned:
            thread.join(PATIENCE)
            assert not thread.is_alive()


class ThreadCore(Core):
    scheduler_class = ThreadScheduler


class PausableLink(FakeLink):
    """A link for a reader that waits while reading is paused; handlers may wait for a pause."""

    def __init__(self):
        super().__init__()
        self.pauses = 0
        self.is_over = False
        self._news = threading.Condition()

    def pause_reading(self):
        with self._news:
            self.is_paused = True
            self.pauses += 1
            self._news.notify_all()

    def resume_reading(self):
        with self._news:
            self.is_paused = False
            self._news.notify_all()

    def finish(self):
        """Let nobody wait for a pause any more: everything has been read."""
        with self._news:
            self.is_over = True
            self._news.notify_all()

    def wait_until_resumed(self):
        with self._news:
            return self._news.wait_for(lambda: not self.is_paused, PATIENCE)

    def wait_until_paused(self):
        with self._news:
            return self._news.wait_for(lambda: self.is_paused or self.is_over, PATIENCE)


@pytest.fixture
def restless_threads():
    """Let threads switch between any two lines of the inbox."""

    def trace(frame, event, arg):
        # The interpreter may switch where a Python function begins: here, at each line.
        return trace if frame.f_code.co_filename in modules else None

    modules = {module.__file__ for module in (backlog_module, inbox_module, workload_module)}

    interval, tracer = sys.getswitchinterval(), sys.gettrace()
    sys.setswitchinterval(1e-6)
    threading.settrace(trace)
    sys.settrace(trace)
    yield
    sys.settrace(tracer)
    threading.settrace(tracer)  # type: ignore[arg-type]
    sys.setswitchinterval(interval)


@pytest.fixture
def small_backlog(monkeypatch):
    """Have some four requests fill the backlog, so that reading pauses all the time."""
    monkeypatch.setattr(backlog_module, "MAX_BACKLOG", 4 * backlog_module.REQUEST_SIZE)


def send_all(inbox, link, count, seed):
    """Read ``count`` messages of various sizes, with a pause whenever the core wants one."""
    sizes = random.Random(seed)
    for number in range(count):
        assert link.wait_until_resumed(), f"reading stays paused after {number} messages"
        text = json.dumps({"method": "get", "path": "/", "data": {"n": number}})
        inbox.receive(text.ljust(sizes.choice([0, 0, 500, 3000])).encode())
    link.finish()


@pytest.mark.usefixtures("restless_threads", "small_backlog")
@pytest.mark.parametrize("parallel", [1, 3])
@pytest.mark.parametrize("seed", range(4))
def test_every_request_is_handled_in_order_and_reading_goes_on(parallel, seed):
    count = 400
    core = ThreadCore(parallel_requests=parallel)
    work = random.Random(seed)
    link = PausableLink()
    handled = []

    def handle(req, next):
        number = req.data["n"]
        handled.append(number)
        if number % 20 < parallel:
            # All places are taken, so the backlog fills.
            link.wait_until_paused()
        for _ in range(work.choice([0, 0, 50, 2000])):
            pass

    core.router.use(handle)
    client = core.connect(link=link)
    send_all(client.inbox, link, count, seed)
    core.scheduler.join()
    if parallel == 1:
        assert handled == list(range(count))
    assert sorted(handled) == list(range(count))
    assert client.inbox.waiting == 0
    assert client.peer.workload.free == parallel
    assert client.peer.workload.backlog is None
    assert not link.is_paused
    assert link.pauses >= 10


@pytest.mark.usefixtures("restless_threads", "small_backlog")
def test_no_more_requests_are_handled_at_once_than_the_limit_allows():
    count, parallel = 300, 3
    core = ThreadCore(parallel_requests=parallel)
    running, most, handled = [], [], []

    def handle(req, next):
        running.append(None)
        most.append(len(running))
        for _ in range(200):
            pass
        running.pop()
        handled.append(req)

    core.router.use(handle)
    link = PausableLink()
    client = core.connect(link=link)
    send_all(client.inbox, link, count, seed=1)
    core.scheduler.join()
    assert len(handled) == count
    assert max(most) <= parallel


def test_a_backlog_that_is_handled_while_reading_is_being_paused_does_not_leave_it_paused():
    core = ThreadCore()
    go_on = threading.Event()
    handled = []

    class SlowLink(PausableLink):
        def pause_reading(self):
            super().pause_reading()
            # Before the inbox takes note of the pause, the other thread handles everything.
            go_on.set()
            core.scheduler.join()

    def handle(req, next):
        assert go_on.wait(PATIENCE)
        handled.append(req.method)

    core.router.use(handle)
    link = SlowLink()
    client = core.connect(link=link)
    client.notify("first", "/")
    large = b'{"method": "second", "path": "/"}'.ljust(backlog_module.MAX_BACKLOG)
    client.send_raw(large)
    assert handled == ["first", "second"]
    assert link.pauses == 1
    assert not link.is_paused


@pytest.mark.usefixtures("restless_threads")
@pytest.mark.parametrize("seed", range(3))
def test_requests_that_other_threads_answer_never_leave_the_rest_waiting(seed, monkeypatch):
    size = open_requests_module.OPEN_SIZE
    monkeypatch.setattr(server_module, "SMALL_COUNT", 6)
    monkeypatch.setattr(server_module, "MAX_OPEN", 6 * size)
    monkeypatch.setattr(server_module, "ENOUGH_ROOM", 5 * size)
    core = ThreadCore()
    count = 300
    left = queue.Queue()
    core.router.use(lambda req, next: left.put(req))
    client = core.connect()

    def answer(number):
        work = random.Random(seed + number)
        while True:
            req = left.get(timeout=PATIENCE)
            if req is None:
                return
            for _ in range(work.choice([0, 0, 50, 1000])):
                pass
            req.reply(200)

    threads = [threading.Thread(target=answer, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(count):
        client.start_request("get", "/")
    deadline = time.monotonic() + PATIENCE
    while len(client.link.payloads) < count and time.monotonic() < deadline:
        core.scheduler.join()
    for _ in threads:
        left.put(None)
    for thread in threads:
        thread.join(PATIENCE)
    core.scheduler.join()
    assert len(client.link.payloads) == count
    assert client.peer.workload.free == 1
    assert client.peer.workload.backlog is None


@pytest.mark.usefixtures("restless_threads")
def test_a_device_that_comes_and_leaves_among_threads_has_one_handler_running():
    core = ThreadCore()
    running, most, handled = [], [], []

    def handle(req, next):
        running.append(None)
        most.append(len(running))
        for _ in range(200):
            pass
        running.pop()
        handled.append(req.data["n"])

    core.router.use(handle)
    for visit in range(20):
        client = core.connect()
        for number in range(10):
            client.notify("get", "/", {"n": 10 * visit + number})
        client.leave()
    core.scheduler.join()
    assert handled == list(range(200))
    assert max(most) == 1
    assert core.application.directory._departed == {}
