"""The places of a device: over several links, after it has gone, and when handlers hang.

A handler "runs" while the function that the test has put in ``busy.meanwhile`` runs.
"""

from __future__ import annotations

import pytest

from protoo_flask.core import backlog
from protoo_flask.core.peers.directory import TooManyPeers
from protoo_flask.core.request import Request
from tests.fakes import Core

TIMEOUT = 60


class Busy:
    """A core whose handler of "wait" calls the next function of the test, which goes on."""

    def __init__(self, **options):
        options.setdefault("response_timeout", TIMEOUT)
        self.core = core = Core(**options)
        self.handled = []
        self.meanwhile = []
        self.requests = []
        self.failures = []
        core.router.use(self._handle)

    def _handle(self, req, next):
        self.handled.append(req.path[1:])
        if req.method == "open":
            req.keep_open()
        if req.method in ("wait", "open", "note"):
            try:
                self.meanwhile.pop(0)()
            except (AssertionError, TooManyPeers) as error:
                # Else it would be the error of a handler, which gets 500.
                self.failures.append(error)
        if req.method == "forget":
            self.requests.append(req)
        elif not req.ended:
            req.reply(200)

    def connect(self, uuid="a1", username="alice"):
        return self.core.connect(username, uuid)

    def run(self, client, *meanwhile, method="wait"):
        """Send a request to a handler that is running while ``meanwhile`` happens."""
        self.meanwhile.extend(meanwhile)
        client.start_request(method, "/first")

    @property
    def runtime(self):
        return self.core.application.runtime


def check_usual(busy, *clients):
    """Check that everything is as if nothing had happened."""
    if busy.failures:
        raise busy.failures[0]
    for client in clients:
        workload = client.peer.workload
        assert workload.backlog is None
        assert workload.free == busy.runtime.limits.parallel_requests
    assert len(busy.runtime.stuck_places) == 0
    assert len(busy.runtime.progress) == 0
    assert busy.core.application.directory._departed == {}


# Several links


@pytest.mark.parametrize("code", [1000, 1001, 1006, None])
def test_requests_of_a_new_link_wait_for_those_of_the_earlier_one(code):
    busy = Busy()
    alice = busy.connect()
    clients = []

    def come_again():
        alice.start_request("get", "/second")
        if code is not None:
            alice.drop(code)
        again = busy.connect()
        clients.append(again)
        again.start_request("get", "/third")
        assert busy.handled == ["first"]

    busy.run(alice, come_again)
    assert busy.handled == ["first", "second", "third"]
    assert (clients[0].peer is alice.peer) is (code is None)
    check_usual(busy, alice, *clients)


def test_a_new_link_of_a_device_with_a_full_backlog_does_not_read_before_there_is_room():
    busy = Busy(grace_period=10)
    alice = busy.connect()
    links = []

    def come_again():
        alice.send_raw(b'{"method": "get", "path": "/second"}'.ljust(backlog.MAX_BACKLOG))
        assert alice.link.is_paused
        for _ in range(3):
            links.append(busy.connect().link)
            assert links[-1].is_paused

    busy.run(alice, come_again)
    assert not any(link.is_paused for link in links)
    check_usual(busy, alice)


def test_links_that_have_ended_are_not_kept_by_a_full_backlog():
    busy = Busy()
    alice = busy.connect()

    def come_again():
        alice.send_raw(b'{"method": "get", "path": "/second"}'.ljust(backlog.MAX_BACKLOG))
        for _ in range(100):
            busy.connect().leave()
        assert len(alice.peer.workload.backlog.paused) <= 1

    busy.run(alice, come_again)
    check_usual(busy, alice)


def test_requests_beyond_any_bound_are_refused_for_now(monkeypatch):
    monkeypatch.setattr(backlog, "MAX_BACKLOG", 1000)
    monkeypatch.setattr(backlog, "MAX_EXCESS", 5000)
    busy = Busy()
    alice = busy.connect()

    def flood():
        for _ in range(40):
            alice.start_request("get", "/more")
        refused = alice.take_all()
        assert {message["status"] for message in refused} == {429}
        assert refused[0]["data"] == {"retryAfter": 1}
        assert alice.inbox.waiting < 1000 + 5000 + 2 * (backlog.REQUEST_SIZE + 100)
        alice.notify("get", "/more")  # nobody waits for an answer
        busy.refused = len(refused)

    busy.run(alice, flood)
    assert len(busy.handled) == 1 + 40 - busy.refused
    assert 0 < busy.refused < 40
    assert [message["status"] for message in alice.take_all()] == [200] * (41 - busy.refused)
    # The next time, as many find a place.
    handled, refused = len(busy.handled), busy.refused
    busy.run(alice, flood)
    assert (len(busy.handled), busy.refused) == (2 * handled, refused)
    check_usual(busy, alice)


def test_each_link_more_with_waiting_requests_counts_with_its_handshake():
    busy = Busy()
    alice = busy.connect()

    def come_again():
        alice.start_request("get", "/second")
        before = alice.inbox.waiting
        again = busy.connect()
        again.start_request("get", "/second")
        assert again.inbox.waiting == 2 * before + backlog.LINK_SIZE

    busy.run(alice, come_again)
    check_usual(busy, alice)


def test_a_duplicate_and_a_long_path_are_answered_at_once_whoever_waits():
    busy = Busy()
    alice = busy.connect()

    def meanwhile():
        alice.send({"method": "get", "path": "/x", "id": 7})
        alice.send({"method": "get", "path": "/x", "id": 7})
        alice.send({"method": "get", "path": "/" + "x" * 5000, "id": 8})
        assert [(m["id"], m["status"]) for m in alice.take_all()] == [(7, 400), (8, 414)]

    busy.run(alice, meanwhile)
    assert busy.handled == ["first", "x"]
    check_usual(busy, alice)


# Devices that have gone


def test_a_device_that_has_gone_counts_until_its_requests_have_been_handled():
    busy = Busy(max_peers_per_user=2)
    alice = busy.connect("a1")

    def leave():
        alice.start_request("get", "/second")
        alice.leave()
        a2 = busy.connect("a2")
        with pytest.raises(TooManyPeers, match="1 that have left"):
            busy.connect("a3")
        busy.connect("a1").leave()  # the device that has gone may always come back
        with pytest.raises(TooManyPeers):
            busy.connect("a3")
        a2.leave()
        busy.connect("a3").leave()

    busy.run(alice, leave)
    assert busy.handled == ["first", "second"]
    busy.connect("a3")
    busy.connect("a4")
    check_usual(busy, alice)


def test_a_device_without_work_does_not_count_when_it_has_gone():
    busy = Busy(max_peers_per_user=1)
    for number in range(5):
        client = busy.connect(f"a{number}")
        client.request("get", "/x")
        client.leave()
    check_usual(busy)


def test_a_device_that_is_away_and_at_work_does_not_give_way():
    busy = Busy(max_peers_per_user=1, grace_period=10)
    alice = busy.connect("a1")

    def drop():
        alice.drop()
        with pytest.raises(TooManyPeers):
            busy.connect("a2")

    busy.run(alice, drop)
    busy.connect("a2")
    assert not alice.peer.online
    check_usual(busy, alice)


def test_a_removed_device_counts_while_its_handler_runs_and_the_rest_is_dropped():
    busy = Busy(max_peers_per_user=1)
    alice = busy.connect("a1")

    def remove():
        alice.start_request("get", "/second")
        busy.core.application.disconnect("alice", None, 3001, "banned")
        with pytest.raises(TooManyPeers):
            busy.connect("a2")
        again = busy.connect("a1")
        again.start_request("get", "/third")

    busy.run(alice, remove)
    assert busy.handled == ["first", "third"]
    check_usual(busy, alice)


def test_requests_of_a_removed_device_do_not_wait_for_the_handler_that_is_running():
    busy = Busy(grace_period=10)
    alice = busy.connect("a1")

    def remove():
        alice.start_request("get", "/second")
        alice.drop()
        busy.core.application.disconnect("alice", None, 3001, "banned")
        assert alice.inbox.waiting == 0

    busy.run(alice, remove)
    assert busy.handled == ["first"]
    check_usual(busy, alice)


# Requests that stay open


def fill(busy, client, limit):
    while not client.peer.requests.are_too_many:
        client.start_request("forget", "/open")
        assert len(busy.requests) <= limit


def test_beyond_the_bound_of_open_requests_the_next_ones_wait_and_responses_are_read():
    busy = Busy()
    alice = busy.connect()
    fill(busy, alice, 4097)
    assert len(busy.requests) == 4097
    alice.start_request("get", "/next")
    assert busy.handled[-1] == "open"
    assert not alice.link.is_paused
    transaction = alice.peer.send(Request("ask"))
    alice.respond(alice.link.take(), 200)
    assert transaction.response.status == 200
    for req in busy.requests[:512]:
        req.reply(200)
        assert busy.handled[-1] == "open"
    busy.requests[512].reply(200)
    assert busy.handled[-1] == "next"
    for req in busy.requests[513:]:
        req.reply(200)
    check_usual(busy, alice)


def test_large_open_requests_count_with_the_objects_that_they_are():
    busy = Busy()
    alice = busy.connect()
    data = {"a": [[] for _ in range(2000)]}  # 8 KB of text, 130 KB of objects
    while not alice.peer.requests.are_too_many:
        alice.start_request("forget", "/open", data)
    assert 10 < len(busy.requests) < 40
    alice.start_request("get", "/next")
    for req in busy.requests:
        req.reply(200)
    assert busy.handled[-1] == "next"
    assert alice.peer.requests._open is None
    check_usual(busy, alice)


def test_open_requests_that_time_out_make_room():
    busy = Busy()
    alice = busy.connect()
    fill(busy, alice, 4097)
    alice.start_request("get", "/next")
    busy.core.scheduler.advance(TIMEOUT)
    assert busy.handled[-1] == "next"
    assert all(req.ended for req in busy.requests)
    check_usual(busy, alice)


def test_requests_behind_many_that_are_kept_open_for_ever_are_answered_504():
    busy = Busy()
    alice = busy.connect()
    while not alice.peer.requests.are_too_many:
        alice.start_request("forget", "/open")
        busy.requests[-1].keep_open()
    id = alice.start_request("get", "/next")
    alice.take_all()
    busy.core.scheduler.advance(TIMEOUT)
    assert [(m["id"], m["status"]) for m in alice.take_all()] == [(id, 504)]


@pytest.mark.parametrize("grace_period", [0, 10])
def test_open_requests_of_a_peer_that_has_gone_are_forgotten(grace_period):
    busy = Busy(grace_period=grace_period)
    alice = busy.connect()
    fill(busy, alice, 4097)
    alice.start_request("forget", "/late")
    alice.leave()
    assert len(busy.runtime.unanswered) == 0
    assert busy.handled[-1] == "late"
    assert len(alice.peer.requests) == 0
    check_usual(busy, alice)


def test_open_requests_that_a_newer_link_replaces_are_forgotten():
    busy = Busy(grace_period=10)
    for visit in range(3):
        alice = busy.connect()
        for id in range(1, 100):
            alice.send({"method": "forget", "path": f"/{visit}", "id": id})
    assert len(busy.runtime.unanswered) == 99


# Handlers that do not return


@pytest.mark.parametrize("method", ["wait", "note"])
def test_a_place_of_a_handler_that_does_not_return_is_given_to_the_next_request(method, caplog):
    busy = Busy()
    alice = busy.connect()

    def hang():
        alice.start_request("get", "/second")
        alice.start_request("get", "/third")
        busy.core.scheduler.advance(TIMEOUT - 0.5)
        assert busy.handled == ["first"]
        busy.core.scheduler.advance(0.5)
        assert busy.handled == ["first", "second", "third"]
        alice.start_request("get", "/fourth")
        assert busy.handled[-1] == "fourth"

    busy.meanwhile.append(hang)
    if method == "note":
        alice.notify("note", "/first")
    else:
        alice.start_request("wait", "/first")
    statuses = [message["status"] for message in alice.take_all()]
    assert statuses == ([504] if method == "wait" else []) + [200] * 3
    assert caplog.text.count("does not return") == 1
    # Its place is not passed on a second time when it returns in the end.
    check_usual(busy, alice)


def test_the_time_of_a_handler_that_hangs_is_counted_from_the_last_progress():
    busy = Busy(parallel_requests=2)
    alice = busy.connect()

    def hang():
        busy.core.scheduler.advance(TIMEOUT - 10)
        alice.start_request("wait", "/second")

    def hang_too():
        alice.start_request("get", "/third")
        busy.core.scheduler.advance(TIMEOUT - 1)
        assert busy.handled == ["first", "second"]
        busy.core.scheduler.advance(1)
        assert busy.handled == ["first", "second", "third"]

    busy.run(alice, hang, hang_too)
    check_usual(busy, alice)


def test_a_handler_that_keeps_its_request_open_is_not_given_up():
    busy = Busy()
    alice = busy.connect()

    def take_long():
        alice.start_request("get", "/second")
        busy.core.scheduler.advance(10 * TIMEOUT)
        assert busy.handled == ["first"]

    busy.run(alice, take_long, method="open")
    assert busy.handled == ["first", "second"]
    assert [message["status"] for message in alice.take_all()] == [200, 200]
    check_usual(busy, alice)


@pytest.mark.parametrize("methods", [("open", "wait"), ("wait", "open")])
def test_of_two_handlers_only_the_one_that_does_not_keep_its_request_open_is_given_up(methods):
    busy = Busy(parallel_requests=2)
    alice = busy.connect()
    first, second = methods

    def hang():
        alice.start_request(second, "/second")

    def hang_too():
        alice.start_request("get", "/third")
        busy.core.scheduler.advance(TIMEOUT)
        assert busy.handled == ["first", "second", "third"]

    busy.run(alice, hang, hang_too, method=first)
    check_usual(busy, alice)


def test_without_a_time_limit_no_handler_is_given_up():
    busy = Busy(response_timeout=None)
    alice = busy.connect()

    def take_long():
        alice.start_request("get", "/second")
        busy.core.scheduler.advance(10_000)
        assert busy.handled == ["first"]

    busy.run(alice, take_long)
    assert busy.handled == ["first", "second"]
    check_usual(busy, alice)


def test_when_as_many_handlers_hang_as_a_user_may_have_the_rest_is_answered_504(caplog):
    busy = Busy(max_peers_per_user=3)
    alice = busy.connect()
    running = []

    def hang():
        running.append(None)
        if len(running) < 3:
            busy.meanwhile.append(hang)
            alice.start_request("wait", "/hang")
        else:
            alice.start_request("get", "/last")
        busy.core.scheduler.advance(TIMEOUT)
        if len(running) == 3:
            alice.take_all()
            alice.start_request("get", "/more")
            assert [message["status"] for message in alice.take_all()] == [504]
            # Another device of the user fares no better, and another user no worse.
            other = busy.connect("a2")
            assert other.request("get", "/more")["status"] == 504
            other.leave()
            bob = busy.connect("b1", "bob")
            assert bob.request("get", "/bob")["status"] == 200
        running.append(None)

    busy.run(alice, hang)
    assert busy.handled.count("hang") == 2
    assert "last" not in busy.handled
    assert "more" not in busy.handled
    assert alice.request("get", "/again") is not None
    assert busy.handled[-1] == "again"
    assert caplog.text.count("answered 504") == 1
    check_usual(busy, alice)


def test_a_device_that_has_gone_with_a_handler_that_hangs_does_not_count_for_ever():
    busy = Busy(max_peers_per_user=2)
    alice = busy.connect("a1")

    def leave():
        alice.leave()
        a2 = busy.connect("a2")
        with pytest.raises(TooManyPeers):
            busy.connect("a3")
        busy.core.scheduler.advance(TIMEOUT)
        busy.connect("a3").leave()
        a2.leave()
        assert len(busy.runtime.stuck_places) == 1

    busy.run(alice, leave)
    check_usual(busy, alice)


def test_requests_behind_a_listener_of_online_that_does_not_return_are_answered_504():
    busy = Busy()
    inboxes = []
    connect = busy.core.application.connect

    def connect_and_keep(*args, **kwargs):
        inboxes.append(connect(*args, **kwargs))
        return inboxes[-1]

    def hang(event):
        if event.name == "peer_online":
            inboxes[0].receive(b'{"method": "get", "path": "/early", "id": 1}')
            busy.core.scheduler.advance(TIMEOUT - 1)
            assert inboxes[0]._link.payloads == []
            busy.core.scheduler.advance(1)
            assert inboxes[0]._link.take()["status"] == 504
            inboxes[0].receive(b'{"method": "get", "path": "/later", "id": 2}')

    busy.core.application.connect = connect_and_keep
    busy.core.framework.on_event.append(hang)
    alice = busy.connect()
    assert busy.handled == ["later"]
    check_usual(busy, alice)
