"""Steps that other threads hand over to the hub."""

from __future__ import annotations

import os
import queue
import threading
from functools import partial
from typing import Any, Callable, Iterator

import gevent
import pytest

from protoo_flask.core.errors import ServerStopped
from protoo_flask.transport.greenlets import handover
from protoo_flask.transport.greenlets.loop import GreenletLoop

from ..wire import PATIENCE


class HubThread:
    """A thread with a hub that serves something."""

    def __init__(self) -> None:
        self._loops: queue.Queue[GreenletLoop] = queue.Queue()
        self._end: Any = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self.loop = self._loops.get(timeout=PATIENCE)

    def _run(self) -> None:
        self._end = gevent.event.Event()
        # It keeps the hub from giving up while there is nothing to do.
        self._watcher = gevent.get_hub().loop.async_()
        self._watcher.start(lambda: None)
        self._loops.put(GreenletLoop())
        self._end.wait()
        self._watcher.close()
        gevent.get_hub().destroy(destroy_loop=True)

    def block(self, function: Callable[[], Any]) -> None:
        """Block the whole thread, as code does that knows nothing of gevent."""
        self.loop.hand_over(function)

    def stop(self) -> None:
        self.loop.hand_over(self._end.set)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


@pytest.fixture
def server() -> Iterator[HubThread]:
    server = HubThread()
    yield server
    if not server.loop.is_gone():
        server.stop()


@pytest.fixture
def impatient(monkeypatch: Any) -> None:
    monkeypatch.setattr(handover, "LOOK_INTERVAL", 0.01)
    monkeypatch.setattr(handover, "PATIENCE", 0.1)


# The results are those of a greenlet


def test_a_call_returns_its_result(server):
    assert server.loop.call(divmod, 7, 3) == (2, 1)


def test_a_call_raises_its_error_in_the_thread_that_calls(server):
    with pytest.raises(ZeroDivisionError):
        server.loop.call(divmod, 7, 0)
    assert server.loop.call(int, "1") == 1


def test_steps_run_in_order_in_greenlets_of_the_hub(server):
    seen: list[Any] = []

    def note(n: int) -> None:
        seen.append((n, handover.get_ident()))

    for n in range(50):
        server.loop.hand_over(note, n)
    assert server.loop.call(list, "") == []
    assert [n for n, _ in seen] == list(range(50))
    assert {thread for _, thread in seen} == {server.loop.owner}


def test_a_step_that_blocks_or_fails_does_not_keep_the_others(server, capfd):
    blocked = server.loop.call(gevent.event.Event)
    server.loop.hand_over(blocked.wait)
    server.loop.hand_over(divmod, 7, 0)
    assert server.loop.call(int, "1") == 1
    server.loop.hand_over(blocked.set)
    assert server.loop.call(blocked.is_set)
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_a_thread_that_sends_faster_than_the_hub_can_take_waits_for_it(server, monkeypatch):
    monkeypatch.setattr(handover, "MAX_WAITING", 3)
    gate = threading.Event()
    server.block(gate.wait)
    steps: list[int] = []

    def send() -> None:
        for n in range(10):
            server.loop.hand_over(steps.append, n)

    thread = threading.Thread(target=send)
    thread.start()
    thread.join(0.1)
    assert thread.is_alive()
    gate.set()
    thread.join(PATIENCE)
    server.loop.call(int)
    assert steps == list(range(10))


# A thread with a hub of its own


def test_the_greenlets_of_another_hub_go_on_while_one_of_them_waits(server):
    gate = threading.Event()
    server.block(gate.wait)
    # The test has a hub, too: this greenlet can open the gate only while the call waits.
    gevent.spawn_later(0.01, gate.set)
    assert server.loop.call(int, "1") == 1


def test_a_thread_whose_hub_does_nothing_else_waits_for_a_call(server):
    # Without a watcher, that hub would give up: gevent raises LoopExit.
    def call() -> Any:
        gevent.sleep(0)  # makes the hub
        try:
            return server.loop.call(int, "1"), server.loop.event().wait(0.01)
        finally:
            gevent.get_hub().destroy(destroy_loop=True)

    outcomes: queue.Queue[Any] = queue.Queue()
    gate = threading.Event()
    server.block(lambda: gate.wait(PATIENCE))
    thread = threading.Thread(target=lambda: outcomes.put(call()))
    thread.start()
    gate.set()
    assert outcomes.get(timeout=PATIENCE) == (1, False)
    thread.join(PATIENCE)


def test_two_hubs_may_call_each_other_at_the_same_time(server):
    ours = GreenletLoop()
    there = gevent.event.Event()

    def call_back() -> None:
        ours.call(there.set)

    gevent.spawn(lambda: server.loop.call(int))
    server.loop.hand_over(call_back)
    assert there.wait(PATIENCE)


# A hub that does not run


def test_a_call_fails_when_the_thread_of_the_hub_has_ended(server):
    server.stop()
    assert server.loop.is_gone()
    for call in (
        lambda: server.loop.call(int),
        lambda: server.loop.hand_over(int),
        lambda: server.loop.call_later(1, int),
        lambda: server.loop.spawn(int),
        lambda: server.loop.event().wait(),
    ):
        with pytest.raises(ServerStopped, match="hub that served the app has been destroyed"):
            call()


def test_a_thread_may_end_without_destroying_its_hub():
    loops: list[GreenletLoop] = []
    thread = threading.Thread(target=lambda: loops.append(GreenletLoop()))
    thread.start()
    thread.join(PATIENCE)
    (loop,) = loops
    assert loop.is_gone()
    with pytest.raises(ServerStopped, match="thread that served the app has ended"):
        loop.call(int)
    loop.pool.hub.destroy(destroy_loop=True)


def test_a_call_that_waits_fails_when_the_thread_of_the_hub_ends(server, impatient):
    outcome: list[Any] = []
    gate = threading.Event()
    server.block(gate.wait)

    def call() -> None:
        event = server.loop.event()
        try:
            event.wait()
        except ServerStopped as error:
            outcome.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    server.loop.hand_over(server._end.set)
    gate.set()
    thread.join(PATIENCE)
    assert len(outcome) == 1


@pytest.mark.parametrize("wait", ["call", "event"])
def test_a_call_fails_when_the_hub_waits_for_the_thread_that_calls(server, impatient, wait):
    outcome: list[str] = []
    done: list[bool] = []

    def call() -> None:
        try:
            if wait == "call":
                server.loop.call(done.append, True)
            else:
                server.loop.event().wait()
        except ServerStopped as error:
            outcome.append(str(error))

    def join() -> None:
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()

    server.block(join)
    # The hub goes on when the thread has given up.
    event = server.loop.event()
    server.loop.hand_over(event.set)
    while not event.sleep(PATIENCE):
        pass
    assert len(outcome) == 1
    assert "not thread.join()" in outcome[0]
    assert done == []  # the step has been withdrawn


def test_a_message_does_not_wait_for_a_hub_that_waits_for_the_sender(server):
    sent: list[str] = []
    thread = threading.Thread(target=lambda: server.loop.hand_over(sent.append, "message"))

    def join() -> None:
        thread.start()
        thread.join()

    server.block(join)
    server.loop.call(int)
    server.loop.call(int)
    assert sent == ["message"]


def in_fork(function: Callable[[], Any]) -> int:
    """Return the status of a process that was forked and has called a function."""
    pid = os.fork()
    if not pid:
        status = 1
        try:
            function()
        except ServerStopped as error:
            status = 42 if "this process was forked" in str(error) else 2
        finally:
            os._exit(status)
    return os.WEXITSTATUS(os.waitpid(pid, 0)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_call_fails_in_a_process_that_was_forked(server):
    assert in_fork(lambda: server.loop.call(int)) == 42
    assert server.loop.call(int) == 0
    # Also where the thread of the hub has forked.
    ours = GreenletLoop()
    assert in_fork(lambda: ours.call(int)) == 42
    assert in_fork(lambda: ours.spawn(int)) == 42
    assert ours.call(int) == 0


# The table


@pytest.mark.parametrize("event", ["taken", "withdrawn", "finished"])
@pytest.mark.parametrize("state", ["waiting", "taken", "withdrawn", "finished"])
def test_a_step_follows_the_table(server, state, event):
    step = handover._Step(partial(int), handover.OutsideEvent(server.loop._handover))
    step.state = state
    step._enter(event)
    assert step.state == handover.TRANSITIONS.get((state, event), state)


def test_a_step_is_either_taken_or_withdrawn(server):
    def make_step() -> Any:
        event = handover.OutsideEvent(server.loop._handover)
        return handover._Step(partial(int, "1"), event)

    taken = make_step()
    taken.run()
    assert (taken.state, taken.result) == ("finished", 1)
    assert not taken.withdraw()
    withdrawn = make_step()
    assert withdrawn.withdraw()
    withdrawn.run()
    assert (withdrawn.state, withdrawn.result) == ("withdrawn", None)
