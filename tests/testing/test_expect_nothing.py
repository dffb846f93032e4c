"""``expect_nothing()`` waits for everything that may still send, and for nothing else.

In each of the first tests, a message is sent late, in another way. With a barrier that waits for
time, or not at all, each of them would pass, and the test of a site with it.
"""

from __future__ import annotations

import contextlib
import gc
import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import gevent
import gevent.event
import pytest

from protoo_flask.testing import ExpectationFailed, Unsettled, finish
from protoo_flask.testing.stillness import Stillness

from .conftest import make_site

#: Seconds after which code in real time sends; longer than any switch of threads or greenlets.
LATE = 0.05


def spawn_and_sleep(send):
    def run():
        gevent.sleep(LATE)
        send()

    gevent.spawn(run)


def block_in_the_handler(send):
    gevent.sleep(LATE)
    send()


def spawn_later(send):
    gevent.spawn_later(LATE, send)


def spawn_a_chain(send, length=50):
    gevent.spawn(send if not length else spawn_a_chain, *([send, length - 1] if length else []))


def wait_for_another_greenlet(send):
    event = gevent.event.Event()
    gevent.spawn(lambda: (event.wait(), send()))
    gevent.spawn_later(LATE, event.set)


def start_a_thread(send):
    threading.Thread(target=lambda: (time.sleep(LATE), send())).start()


def start_a_thread_of_a_thread(send):
    def run():
        time.sleep(LATE)
        start_a_thread(send)

    threading.Thread(target=run).start()


def use_the_threadpool(send):
    gevent.get_hub().threadpool.spawn(lambda: (time.sleep(LATE), send()))


def spawn_after_a_thread(send):
    hub = gevent.get_hub()

    def run():
        time.sleep(LATE)
        hub.loop.run_callback_threadsafe(spawn_and_sleep, send)

    threading.Thread(target=run).start()


WAYS = [
    spawn_and_sleep,
    block_in_the_handler,
    spawn_later,
    spawn_a_chain,
    wait_for_another_greenlet,
    start_a_thread,
    start_a_thread_of_a_thread,
    use_the_threadpool,
    spawn_after_a_thread,
]


@pytest.mark.parametrize("way", WAYS, ids=[way.__name__ for way in WAYS])
def test_a_late_message_of_a_handler_is_seen(protoo, way):
    @protoo.put("/late")
    def late(req, next):
        peer = req.peer
        way(lambda: peer.notify("late"))

    alice = protoo.test_client(username="alice")
    alice.notify("put", "/late")
    assert (way is spawn_a_chain) == bool(alice.inbox), "the message is not late"
    with pytest.raises(ExpectationFailed, match=r"1\. notification 'late'"):
        alice.expect_nothing()
    assert alice.expect_notification("late").method == "late"
    alice.expect_nothing()


@pytest.mark.parametrize("way", WAYS[2:], ids=[way.__name__ for way in WAYS[2:]])
def test_a_late_message_that_the_test_causes_is_seen(alice, way):
    peer = alice.peer
    way(lambda: peer.notify("late"))
    assert alice.expect_notification("late").method == "late"
    way(lambda: peer.notify("late"))
    with pytest.raises(ExpectationFailed):
        alice.expect_nothing()


def test_a_message_that_waits_for_the_clock_comes_when_the_clock_is_moved(protoo, alice):
    alice.send("get", "/question")
    alice.expect_request()
    alice.expect_nothing()
    protoo.test_clock.advance(19)
    alice.expect_nothing()
    peer = alice.peer
    peer.runtime.scheduler.call_later(5, peer.notify, "by the clock")
    alice.expect_nothing()
    protoo.test_clock.advance(4.9)
    alice.expect_nothing()
    protoo.test_clock.advance(0.2)
    with pytest.raises(ExpectationFailed):
        alice.expect_nothing()


def test_a_worker_of_an_executor_is_waited_for_while_it_works(alice):
    peer = alice.peer
    with ThreadPoolExecutor(2) as pool:
        for _ in range(3):
            pool.submit(lambda: (time.sleep(LATE), peer.notify("late")))
            with pytest.raises(ExpectationFailed):
                alice.expect_nothing()
            alice.expect_notification("late")
            alice.expect_nothing()  # the worker is idle, and has not ended


def put_into_a_queue():
    jobs = queue.Queue()
    return jobs.put, jobs.get


def put_into_a_queue_that_is_polled():
    jobs = queue.Queue()

    def get():
        while True:
            with contextlib.suppress(queue.Empty):
                return jobs.get(timeout=LATE / 5)

    return jobs.put, get


def tell_by_a_condition():
    jobs = []
    condition = threading.Condition()

    def put(job):
        with condition:
            jobs.append(job)
            condition.notify()

    def get():
        with condition:
            condition.wait_for(lambda: jobs)
            return jobs.pop()

    return put, get


@pytest.mark.parametrize(
    "make_channel", [put_into_a_queue, put_into_a_queue_that_is_polled, tell_by_a_condition]
)
def test_a_worker_of_before_the_test_counts_when_it_is_given_work(make_channel):
    put, get = make_channel()

    def work():
        while True:
            job = get()
            if job is None:
                return
            job()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    protoo = make_site()
    alice = protoo.test_client(username="alice")
    peer = alice.peer
    for _ in range(3):
        put(lambda: (time.sleep(LATE), peer.notify("late")))
        with pytest.raises(ExpectationFailed):
            alice.expect_nothing()
        alice.expect_notification("late")
        alice.expect_nothing()
    finish(protoo._site.app)
    put(None)
    thread.join()


def test_an_executor_of_an_earlier_test_counts_when_it_is_given_work(protoo):
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: None).result()
        alice = protoo.test_client(username="alice")
        peer = alice.peer
        pool.submit(lambda: (time.sleep(LATE), peer.notify("late")))
        with pytest.raises(ExpectationFailed):
            alice.expect_nothing()
        alice.expect_notification("late")


def test_a_handler_that_waits_for_the_test_does_not_hinder(protoo):
    gate = gevent.event.Event()

    @protoo.get("/gate")
    def wait(req, next):
        gate.wait()
        req.reply(200)

    alice = protoo.test_client(username="alice")
    sent = alice.send("get", "/gate")
    alice.expect_nothing()
    gate.set()
    assert sent.wait().status == 200


def test_code_that_never_rests_is_named_and_can_be_ignored(protoo, alice):
    def look_around():
        while True:
            gevent.sleep(0.01)

    greenlet = gevent.spawn(look_around)
    protoo.test_clock.patience = 0.05
    with pytest.raises(Unsettled, match=r"within 0\.05 s") as error:
        alice.expect_nothing()
    (line,) = error.value.activity
    assert line.startswith("a greenlet in look_around (")
    assert f"{__file__}:" in line
    assert "protoo.test_clock.ignore(greenlet_or_thread)" in str(error.value)
    protoo.test_clock.ignore(greenlet)
    alice.expect_nothing()
    protoo.test_clock.advance(1)
    greenlet.kill()


def test_a_thread_that_never_rests_is_named_and_can_be_ignored(protoo, alice):
    end = threading.Event()

    def look_around():
        end.wait()

    thread = threading.Thread(target=look_around, name="looker")
    thread.start()
    protoo.test_clock.patience = 0.05
    with pytest.raises(Unsettled, match="thread 'looker' in look_around"):
        alice.expect_nothing()
    protoo.test_clock.ignore(thread)
    alice.expect_nothing()
    end.set()
    thread.join()


def test_code_that_ran_before_the_first_client_does_not_count(protoo):
    def look_around():
        while True:
            gevent.sleep(0.01)

    end = threading.Event()
    greenlet = gevent.spawn(look_around)
    thread = threading.Thread(target=end.wait)
    thread.start()
    alice = protoo.test_client(username="alice")
    protoo.test_clock.patience = 0.05
    alice.expect_nothing()
    late = gevent.spawn(look_around)
    with pytest.raises(Unsettled):
        alice.expect_nothing()
    gevent.killall([greenlet, late])
    end.set()
    thread.join()


def test_patience_ends_also_while_a_test_has_stopped_the_time(protoo, alice, monkeypatch):
    monkeypatch.setattr(time, "monotonic", lambda: 0.0)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    greenlet = gevent.spawn(gevent.sleep, 60)
    protoo.test_clock.patience = 0.05
    with pytest.raises(Unsettled):
        alice.expect_nothing()
    greenlet.kill()


def test_a_thread_that_watches_over_the_test_does_not_count(alice):
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="pytest_timeout tests/test_chat.py")
    thread.start()
    alice.expect_nothing()
    end.set()
    thread.join()


def test_a_test_may_run_in_a_greenlet(protoo):
    def run():
        alice = protoo.test_client(username="alice")
        gevent.spawn_later(LATE, alice.peer.notify, "late")
        alice.expect_notification("late")
        alice.expect_nothing()
        protoo.test_clock.advance(60)
        finish(protoo._site.app)
        return True

    assert gevent.spawn(run).get()


def test_functions_that_start_each_other_for_ever_are_no_rest(protoo, alice):
    going = [True]

    def go_on():
        if going:
            gevent.get_hub().loop.run_callback(go_on)

    go_on()
    protoo.test_clock.patience = 0.05
    with pytest.raises(Unsettled, match="functions that gevent's hub runs next"):
        alice.expect_nothing()
    going.clear()
    alice.expect_nothing()


def test_a_closed_connection_is_not_nothing(alice):
    alice.peer.close(3001, "logged out")
    with pytest.raises(ExpectationFailed, match="The connection was closed: 3001 'logged out'"):
        alice.expect_nothing()


def test_a_greenlet_can_be_spawned_while_the_clock_of_another_app_is_collected(protoo):
    gone = Stillness()
    gone.itself = gone  # only the garbage collector finds it

    def collect(greenlet):
        nonlocal gone
        gone = None
        gc.collect()

    gevent.Greenlet.add_spawn_callback(collect)
    try:
        gevent.spawn(lambda: None).join()
    finally:
        gevent.Greenlet.remove_spawn_callback(collect)
    assert gone is None
