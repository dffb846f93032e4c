"""The contract of a link: which of its methods the core calls, and in which order."""

from __future__ import annotations

import pytest

from protoo_flask.core.backlog import MAX_BACKLOG
from protoo_flask.core.inbox import MAX_VIOLATIONS
from protoo_flask.core.request import Request
from tests.fakes import Core, FakeLink


class RecordingLink(FakeLink):
    """Notes the calls of the core, in a list that several links may share."""

    def __init__(self, calls, name="link"):
        super().__init__()
        self._calls = calls
        self._name = name

    def _note(self, method, *arguments):
        self._calls.append((f"{self._name}.{method}", *arguments))

    def send(self, payload, id=None):
        self._note("send")
        return super().send(payload, id)

    def close(self, code, reason):
        self._note("close", code)
        super().close(code, reason)

    def retire(self, code, reason):
        self._note("retire", code)
        FakeLink.close(self, code, reason)

    def fail(self, code, reason):
        self._note("fail", code)
        was_open = self.closed is None
        FakeLink.close(self, code, reason)
        return was_open

    def take_unsent(self):
        self._note("take_unsent")
        return super().take_unsent()

    def pause_reading(self):
        self._note("pause_reading")
        super().pause_reading()

    def resume_reading(self):
        self._note("resume_reading")
        super().resume_reading()


@pytest.fixture
def calls():
    return []


def connect(core, calls, name="link"):
    """Let Alice's device in by a link with this name; forget the calls so far."""
    client = core.connect("alice", "a1", link=RecordingLink(calls, name))
    calls.clear()
    return client


# One link after the other


def test_a_link_that_is_taken_over_is_retired_and_its_unsent_messages_go_to_the_new_one(calls):
    core = Core()
    old = connect(core, calls, "old")
    old.link.is_stuck = True
    old.peer.notify("a")
    old.peer.notify("b")
    calls.clear()
    core.connect("alice", "a1", link=RecordingLink(calls, "new"))
    assert calls == [
        ("old.retire", 3000),
        ("old.take_unsent",),
        ("new.send",),
        ("new.send",),
    ]


def test_no_link_is_called_when_a_retired_one_ends(calls):
    core = Core(grace_period=10)
    old = connect(core, calls, "old")
    core.connect("alice", "a1", link=RecordingLink(calls, "new"))
    calls.clear()
    old.drop()
    assert calls == []


def test_a_link_that_dropped_gives_its_messages_back_and_is_not_called_any_more(calls):
    core = Core(grace_period=10)
    alice = connect(core, calls)
    alice.drop()
    assert calls == [("link.take_unsent",)]
    calls.clear()
    alice.peer.notify("a")
    alice.peer.send(Request("get"))
    core.scheduler.advance(10)
    assert calls == []


def test_a_link_whose_client_leaves_is_asked_for_nothing(calls):
    core = Core(grace_period=10)
    connect(core, calls).leave()
    assert calls == []


def test_a_link_that_never_paused_is_not_asked_to_resume_when_the_site_is_told_online(calls):
    core = Core()
    core.framework.on_event.append(lambda event: calls.append(event.name))
    core.connect("alice", "a1", link=RecordingLink(calls))
    assert calls == ["peer_online", "user_online"]


def test_a_link_is_tried_once_for_each_message_that_waits_and_no_more_after_a_refusal(calls):
    core = Core(grace_period=10)
    alice = connect(core, calls)
    alice.drop()
    for method in "abc":
        alice.peer.notify(method)
    slow = RecordingLink(calls)
    slow.closed = (1008, "slow consumer")
    calls.clear()
    core.connect("alice", "a1", link=slow)
    assert calls == [("link.send",)]
    assert len(alice.peer.outbound.mailbox.items()) == 3


# Closing


@pytest.mark.parametrize(
    ("close", "code"),
    [
        (lambda core, peer: core.application.disconnect("alice", None, 3001, "banned"), 3001),
        (lambda core, peer: core.application.close(), 1001),
        (lambda core, peer: peer.close(), 1000),
    ],
    ids=["disconnect", "close the app", "close the peer"],
)
def test_a_link_that_the_site_closes_is_closed_once_and_gets_nothing_more(calls, close, code):
    core = Core(grace_period=10)
    alice = connect(core, calls)
    core.framework.on_event.append(lambda event: calls.append(event.name))
    close(core, alice.peer)
    close(core, alice.peer)
    alice.peer.notify("too late")
    alice.peer.send(Request("get"))
    alice.drop(code)
    assert calls == [("link.close", code), "peer_offline", "user_offline"]


def test_a_link_with_too_many_bad_messages_is_retired_after_the_last_answer(calls):
    alice = connect(Core(), calls)
    for _ in range(MAX_VIOLATIONS):
        alice.send_raw(b"hello")
    assert calls == [("link.send",)] * MAX_VIOLATIONS + [("link.retire", 1008)]


class Timeout(BaseException):
    """Ends a greenlet, like gevent.Timeout."""


def send_later_requests(core, calls, is_open):
    """Handle a request that ends its greenlet while two others wait; returns those handled."""
    handled = []

    @core.router.get("/fail")
    def fail(req, next):
        alice.notify("get", "/second")
        alice.notify("get", "/third")
        if not is_open:
            alice.link.closed = (1006, "")
        raise Timeout

    core.router.use(lambda req, next: handled.append(req.path))
    alice = connect(core, calls)
    with pytest.raises(Timeout):
        alice.notify("get", "/fail")
    assert [call for call in calls if "fail" in call[0]] == [("link.fail", 1011)]
    assert alice.inbox.waiting == 0
    return handled


def test_an_error_that_ends_a_greenlet_fails_the_link_and_drops_its_requests(calls):
    assert send_later_requests(Core(), calls, is_open=True) == []


def test_after_such_an_error_the_requests_of_a_client_that_had_left_are_handled(calls):
    assert send_later_requests(Core(), calls, is_open=False) == ["/second", "/third"]


def test_a_listener_of_online_that_ends_its_greenlet_fails_the_link(calls):
    core = Core()

    def stop(event):
        raise Timeout

    core.framework.on_event.append(stop)
    with pytest.raises(Timeout):
        core.connect("alice", "a1", link=RecordingLink(calls))
    assert calls == [("link.fail", 1011)]
    core.framework.on_event.clear()
    core.application.close()


# Reading


def test_reading_is_paused_when_the_backlog_is_full_and_resumed_when_there_is_room(calls):
    core = Core()

    @core.router.get("/slow")
    def send_more(req, next):
        for name in "abcd":
            text = f'{{"method": "get", "path": "/{name}"}}'
            alice.send_raw(text.ljust(MAX_BACKLOG // 2).encode())
            calls.append(f"sent {name}")

    core.router.use(lambda req, next: calls.append(f"handled {req.path[1:]}"))
    alice = connect(core, calls)
    alice.notify("get", "/slow")
    assert calls == [
        "sent a",
        ("link.pause_reading",),  # each takes more than half of the space
        "sent b",
        ("link.pause_reading",),  # harmless: messages that were read already
        "sent c",
        ("link.pause_reading",),
        "sent d",
        "handled a",
        "handled b",
        ("link.resume_reading",),
        "handled c",
        "handled d",
    ]


def test_requests_that_come_before_the_inbox_is_open_pause_reading_until_it_is(calls):
    core = Core()
    handled = []
    core.router.use(lambda req, next: handled.append(len(calls)))
    core.router.freeze(core.routing_options)
    early = RecordingLink(calls)

    def send_much(event):
        if event.name == "peer_online":
            text = b'{"method": "get", "path": "/"}'
            inboxes[0].receive(text.ljust(MAX_BACKLOG))
            assert early.is_paused
            calls.append("told")

    inboxes = []
    connect_client = core.application.connect

    def connect_and_keep(*arguments, **options):
        inboxes.append(connect_client(*arguments, **options))
        return inboxes[-1]

    core.application.connect = connect_and_keep
    core.framework.on_event.append(send_much)
    core.connect("alice", "a1", link=early)
    assert calls == [("link.pause_reading",), "told", ("link.resume_reading",)]
    assert handled == [3]
    assert not early.is_paused
