"""Handlers that keep their requests open, and requests that a device leaves behind."""

from __future__ import annotations

import gc
import weakref

import pytest

from protoo_flask.core import backlog
from tests.fakes import Core

from .test_workload import TIMEOUT, Busy, check_usual, fill


@pytest.fixture
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


class Patient:
    """A core whose handler keeps each request open, and calls the function of its path."""

    def __init__(self, **options):
        self.core = Core(response_timeout=TIMEOUT, **options)
        self.handled = []
        self.requests = []
        #: {path: called by the handler}
        self.meanwhile = {}
        self.core.router.use(self._handle)

    def _handle(self, req, next):
        self.handled.append(req.path)
        self.requests.append(req)
        if req.method == "hang":
            self.meanwhile[req.path]()
            return
        req.keep_open()
        self.meanwhile.get(req.path, int)()


def test_notifications_that_handlers_keep_open_are_not_kept():
    patient = Patient()
    alice = patient.core.connect()
    for _ in range(100):
        alice.notify("get", "/")
    assert alice.peer.workload._patient == ()


def test_a_request_that_was_kept_open_is_not_kept_when_its_handler_has_returned():
    patient = Patient()
    alice = patient.core.connect()
    alice.start_request("get", "/later")
    assert alice.peer.workload._patient == ()
    patient.meanwhile["/answered"] = lambda: patient.requests[-1].reply(200)
    assert alice.request("get", "/answered")["status"] == 200
    assert alice.peer.workload._patient == ()


def test_a_request_that_a_newer_one_has_replaced_does_not_make_a_handler_seem_patient():
    patient = Patient(grace_period=10)
    first = patient.core.connect()
    second, meanwhile = [], []

    def come_again():
        second.append(patient.core.connect())
        second[0].send({"method": "get", "path": "/replaced", "id": 1})

    def hang():
        second[0].send({"method": "get", "path": "/next", "id": 3})
        patient.core.scheduler.advance(TIMEOUT)
        meanwhile.extend(patient.handled)

    patient.meanwhile.update({"/first": come_again, "/hang": hang})
    first.send({"method": "get", "path": "/first", "id": 1})
    second[0].send({"method": "hang", "path": "/hang", "id": 2})
    assert meanwhile == ["/first", "/replaced", "/hang", "/next"]


def test_a_handler_that_is_patient_too_late_does_not_hide_the_next_one_that_hangs():
    patient = Patient()
    alice = patient.core.connect()

    def hang():
        alice.start_request("hang", "/second")
        patient.core.scheduler.advance(TIMEOUT)

    def hang_too():
        # The first one is stuck, and says only now that it takes longer.
        patient.requests[0].keep_open()
        alice.start_request("get", "/third")
        patient.core.scheduler.advance(TIMEOUT)
        meanwhile.extend(patient.handled)

    meanwhile = []
    patient.meanwhile.update({"/first": hang, "/second": hang_too})
    alice.start_request("hang", "/first")
    assert meanwhile == ["/first", "/second", "/third"]
    workload = alice.peer.workload
    assert (workload.backlog, workload.free) == (None, 1)
    assert len(patient.core.application.runtime.stuck_places) == 0


def test_a_device_that_has_gone_is_not_kept_by_requests_that_were_kept_open(no_collector):
    patient = Patient()
    alice = patient.core.connect()
    alice.notify("get", "/")
    alice.start_request("get", "/")
    patient.requests[-1].reply(200)
    patient.requests.clear()
    peer = weakref.ref(alice.peer)
    alice.leave()
    del alice
    assert peer() is None


def test_a_removed_device_leaves_nothing_of_the_requests_that_were_waiting():
    busy = Busy()
    alice = busy.connect()

    def remove():
        alice.start_request("get", "/second")
        alice.start_request("get", "/third")
        busy.core.application.disconnect("alice", None, 3001, "banned")
        # Only the one that is being handled.
        assert len(alice.peer.requests) == 1

    busy.run(alice, remove)
    assert len(alice.peer.requests) == 0
    assert alice.peer.requests._waiting == 0
    check_usual(busy, alice)


def test_an_early_link_of_a_removed_device_is_read_to_its_end_at_once():
    busy = Busy(grace_period=10)
    alice = busy.connect()

    def remove():
        alice.send_raw(b'{"method": "get", "path": "/second"}'.ljust(backlog.MAX_BACKLOG))
        alice.drop(is_read=True)
        assert alice.link.is_paused
        busy.core.application.disconnect("alice", None, 3001, "banned")
        # Not only when the handler returns, which may hang.
        assert not alice.link.is_paused

    busy.run(alice, remove)
    assert busy.handled == ["first"]
    check_usual(busy, alice)


def test_open_requests_that_newer_ones_replace_make_room():
    busy = Busy(grace_period=10, response_timeout=None)
    first = busy.connect()
    fill(busy, first, 4097)
    # The page was reloaded: it counts from 1 again, and nobody waits for the earlier answers.
    second = busy.connect()
    for id in range(1, 4098):
        second.send({"method": "get", "path": f"/{id}", "id": id})
    assert busy.handled[-1] == "4097"
    assert not second.peer.requests.are_too_many
    check_usual(busy, second)
