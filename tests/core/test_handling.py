"""Handling: a request that no handler answers gets a 404, or a 504 after the time limit."""

from __future__ import annotations

import logging
from functools import partial

import pytest

from protoo_flask.core.errors import ServerStopped
from protoo_flask.core.routing.router import Router
from tests.fakes import Core, FakeContext

from .handlers import answer_to, raising


def forget(req, next):
    """Neither reply nor call next()."""


def pass_on(req, next):
    next()


def forgetful_core(**options):
    core = Core(response_timeout=30, **options)
    core.router.get("/slow/:n", pass_on, forget)
    return core


# No handler answers


def test_a_request_that_nobody_handles_is_answered_404():
    alice = Core().connect()
    assert alice.request("get", "/nowhere") == {
        "status": 404,
        "reason": "not found",
        "id": 1,
        "data": {},
    }


def test_a_request_that_everybody_passes_on_is_answered_404():
    assert answer_to(lambda req, next: next()) == (404, "not found")


def test_a_handler_may_answer_later():
    core = Core()
    requests = []
    core.router.get("/", lambda req, next: requests.append(req))
    alice = core.connect()
    alice.start_request("get", "/")
    assert alice.take_all() == []
    requests[0].reply(200)
    assert alice.take()["status"] == 200


@pytest.mark.parametrize("path", ["/nowhere", "/broken", "/refused"])
def test_a_notification_is_never_answered(path):
    core = Core()
    core.router.get("/broken", raising(ValueError()))
    core.router.get("/refused", lambda req, next: req.reply(403))
    alice = core.connect()
    alice.notify("get", path)
    assert alice.take_all() == []


def test_handlers_run_in_the_contexts_of_their_peer():
    core = Core()
    ran = []

    def run_as(peer, function, *args):
        ran.append(f"before {peer.username}")
        function(*args)
        ran.append("after")

    core.router.get("/", lambda req, next: (ran.append("handler"), next()))
    for client in (core.connect("bob", "b1"), core.connect("alice", "a1")):
        client.peer.context = FakeContext(core.framework)
        client.peer.context.run = partial(run_as, client.peer)
    client.request("get", "/")
    assert ran == ["before alice", "handler", "after"]


# No handler answers in time


def test_a_request_that_nobody_answers_ends_with_504_after_the_time():
    core = forgetful_core()
    alice = core.connect()
    id = alice.start_request("get", "/slow/1")
    core.scheduler.advance(29.9)
    assert alice.take_all() == []
    core.scheduler.advance(0.2)
    answer = alice.take()
    assert (answer["status"], answer["reason"], answer["id"]) == (504, "no answer", id)
    assert alice.take_all() == []


def test_the_log_names_the_handler_that_it_stopped_in(caplog):
    core = forgetful_core()
    core.connect().start_request("get", "/slow/1")
    with caplog.at_level(logging.WARNING):
        core.scheduler.advance(31)
    (record,) = caplog.records
    text = record.getMessage()
    assert "get /slow/1" in text
    assert f"{__name__}.forget" in text
    assert f"{__file__}:{forget.__code__.co_firstlineno}" in text
    assert "pass_on" not in text


def test_the_handler_is_named_in_a_nested_router_too(caplog):
    core = Core(response_timeout=30)
    core.router.use("/x", Router().use(pass_on).use("/y", forget))
    core.connect().start_request("get", "/x/y")
    core.scheduler.advance(31)
    assert f"{__name__}.forget" in caplog.text


def test_requests_expire_each_in_its_time_in_order():
    core = forgetful_core()
    alice = core.connect()
    first = alice.start_request("get", "/slow/1")
    core.scheduler.advance(10)
    second, third = alice.start_request("get", "/slow/2"), alice.start_request("get", "/slow/3")
    core.scheduler.advance(20)
    assert [answer["id"] for answer in alice.take_all()] == [first]
    core.scheduler.advance(9.9)
    assert alice.take_all() == []
    core.scheduler.advance(0.1)
    assert [answer["id"] for answer in alice.take_all()] == [second, third]
    assert len(core.application.runtime.unanswered) == core.scheduler.pending_timers == 0


@pytest.mark.parametrize("how", ["reply", "next", "error", "bad path"])
def test_an_answered_request_does_not_expire(how, caplog):
    core = Core(response_timeout=30)
    core.router.get("/reply", lambda req, next: req.reply(200))
    core.router.get("/error", lambda req, next: next(ValueError()))
    core.router.get("/bad path/:x", forget)
    alice = core.connect()
    alice.request("get", f"/{how}/%zz" if how == "bad path" else f"/{how}")
    assert len(core.application.runtime.unanswered) == 0
    caplog.clear()
    core.scheduler.advance(100)
    assert alice.take_all() == caplog.records == []


def test_a_provisional_reply_is_no_answer():
    core = Core(response_timeout=30)
    core.router.get("/", lambda req, next: req.reply(100, "trying"))
    alice = core.connect()
    alice.request("get", "/")
    core.scheduler.advance(30)
    assert alice.take()["status"] == 504


def test_a_request_that_is_kept_open_may_take_its_time():
    core, requests = Core(response_timeout=30), []
    core.router.get("/", lambda req, next: (req.keep_open(), requests.append(req)))
    alice = core.connect()
    alice.start_request("get", "/")
    core.scheduler.advance(1000)
    assert alice.take_all() == []
    requests[0].reply(200, "at last")
    assert alice.take()["reason"] == "at last"


def test_a_notification_has_no_answer_to_wait_for(caplog):
    core = forgetful_core()
    alice = core.connect()
    alice.notify("get", "/slow/1")
    core.scheduler.advance(1000)
    assert alice.take_all() == caplog.records == []


def test_without_a_time_nothing_expires():
    core = Core(response_timeout=None)
    core.router.get("/", forget)
    alice = core.connect()
    alice.start_request("get", "/")
    core.scheduler.advance(1e6)
    assert alice.take_all() == []
    assert core.scheduler.pending_timers == 0


def test_a_handler_that_blocks_for_too_long_is_answered_for_and_its_reply_comes_too_late(caplog):
    core = Core(response_timeout=30)

    @core.router.get("/")
    def block(req, next):
        core.scheduler.event().wait(60)
        assert req.ended
        next()

    alice = core.connect()
    assert alice.request("get", "/")["status"] == 504
    assert "block" in caplog.text
    assert alice.take_all() == core.framework.errors == []


def test_after_the_504_the_id_is_free_and_the_connection_lives():
    core = forgetful_core()
    core.router.get("/", lambda req, next: req.reply(200))
    alice = core.connect()
    alice.send({"method": "get", "path": "/slow/1", "id": 7})
    core.scheduler.advance(30)
    assert alice.take()["status"] == 504
    alice.send({"method": "get", "path": "/", "id": 7})
    assert alice.take()["status"] == 200
    assert alice.link.closed is None


def test_a_failed_teardown_of_a_message_is_told_apart_from_a_failed_handler():
    core = Core()
    core.router.get("/echo", lambda req, next: req.reply(200))
    alice = core.connect("alice", "a1")
    run = core.framework.run

    def run_and_fail(function, *args):
        run(function, *args)
        raise AttributeError("db")

    core.framework.run = run_and_fail
    for _ in range(2):
        assert alice.request("get", "/echo")["status"] == 200
    assert alice.request("get", "/nowhere")["status"] == 404
    peer = repr(alice.peer)
    assert core.framework.failed_teardowns == [
        f"get /echo from {peer}",
        f"get /echo from {peer}",
        f"get /nowhere from {peer}",
    ]
    assert len(core.framework.errors) == 3


@pytest.mark.parametrize("path", ["/fails", "/nowhere", "/slow/1"], ids=["500", "404", "504"])
def test_a_server_that_has_stopped_is_told_once_and_the_request_is_over(caplog, monkeypatch, path):
    """In a forked process, every answer fails. It must not come back as the next error."""
    core = forgetful_core()
    core.router.get("/fails", raising(ValueError("no")))
    alice = core.connect()

    def respond(*args):
        raise ServerStopped("this process was forked")

    monkeypatch.setattr(type(alice.peer.requests), "respond", respond)
    alice.start_request("get", path)
    core.scheduler.advance(30)
    lines = [record.getMessage() for record in caplog.records]
    assert len([line for line in lines if "is not answered" in line]) == 1
    assert len(lines) <= 2
    assert alice.take_all() == []


def test_many_requests_that_nobody_answers_are_logged_once_a_second(caplog):
    core = Core(response_timeout=10)
    core.router.use(lambda req, next: None)
    clients = [core.connect("alice", "a1"), core.connect("bob", "b1")]
    for _ in range(2):
        for client in clients:
            for _ in range(100):
                client.start_request("get", "/")
        core.scheduler.advance(1)
    core.scheduler.advance(10)
    assert [len(client.take_all()) for client in clients] == [200, 200]
    assert caplog.text.count("nobody has answered") == 4
