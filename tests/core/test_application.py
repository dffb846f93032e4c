"""The application: what ends the routing, the errors of handlers, closing."""

from __future__ import annotations

import logging
from functools import partial
from http import HTTPStatus

import pytest

from protoo_flask.core.errors import BadPath, Reject, UsageError
from protoo_flask.core.request import Request
from tests.fakes import Core, FakeContext


def raising(error):
    def handler(req, next):
        raise error

    return handler


def answer_to(handler, core=None):
    """Return status and reason of the answer to a request that ``handler`` handles."""
    core = core or Core()
    core.router.get("/", handler)
    answer = core.connect().request("get", "/")
    return answer["status"], answer["reason"]


class ErrorWith(Exception):
    def __init__(self, status):
        super().__init__("what happened")
        self.status = status


# Nobody answers


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


# Errors


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (ValueError("secret"), (500, "internal server error")),
        (Reject(403, "banned until Monday"), (403, "banned until Monday")),
        (Reject(302, "elsewhere"), (302, "elsewhere")),
        (Reject(603), (603, "")),
        (Reject(HTTPStatus.GONE, "no more"), (410, "no more")),
        (BadPath("bad escape"), (400, "bad escape")),
        (UsageError("how to do it right"), (500, "internal server error")),
        (ErrorWith(status=409), (409, "what happened")),
        (ErrorWith(status=503), (503, "what happened")),
        (ErrorWith(status=300), (300, "what happened")),
        (ErrorWith(status=699), (699, "what happened")),
        (ErrorWith(status=HTTPStatus.CONFLICT), (409, "what happened")),
        (ErrorWith(status=200), (500, "internal server error")),
        (ErrorWith(status=180), (500, "internal server error")),
        (ErrorWith(status=700), (500, "internal server error")),
        (ErrorWith(status="409"), (500, "internal server error")),
        (ErrorWith(status=True), (500, "internal server error")),
        (ErrorWith(status=None), (500, "internal server error")),
    ],
    ids=lambda value: repr(value) if isinstance(value, Exception) else None,
)
def test_an_error_is_answered_with_its_status_or_500(error, answer):
    core = Core()
    assert answer_to(raising(error), core) == answer
    assert core.framework.errors == [error]


def test_an_error_given_to_next_is_answered_like_one_that_is_raised():
    assert answer_to(lambda req, next: next(Reject(403, "no"))) == (403, "no")
    assert answer_to(lambda req, next: next(ValueError("secret"))) == (500, "internal server error")
    assert answer_to(lambda req, next: next("oops")) == (500, "internal server error")


def test_the_host_may_know_better_what_an_error_says():
    core = Core()
    core.framework.describe_error = lambda error: (
        (418, "teapot") if isinstance(error, KeyError) else None
    )
    core.router.get("/other", raising(ValueError()))
    assert answer_to(raising(KeyError()), core) == (418, "teapot")
    assert core.connect().request("get", "/other")["status"] == 500


def test_a_reason_may_be_any_object_that_reads_as_text():
    class Translated:
        def __str__(self):
            return "verboten"

    assert answer_to(raising(Reject(403, Translated()))) == (403, "verboten")


def test_a_reason_that_cannot_be_sent_is_replaced():
    core = Core()
    assert answer_to(raising(Reject(403, "\ud800")), core) == (500, "internal server error")
    assert len(core.framework.errors) == 1


@pytest.mark.parametrize(
    ("error", "logged"),
    [
        (ValueError("oops"), True),
        (ErrorWith(500), True),
        (ErrorWith(404), False),
        (Reject(403), False),
    ],
    ids=["exception", "status 500", "status 404", "reject"],
)
def test_what_is_the_fault_of_the_server_is_logged_with_its_traceback(error, logged, caplog):
    answer_to(raising(error))
    assert len(caplog.records) == logged
    for record in caplog.records:
        assert record.levelno == logging.ERROR
        assert record.exc_info[1] is error
        assert "error in get / from <Peer alice/a1 online>" in record.message


def test_an_error_that_is_no_exception_is_logged_without_a_traceback(caplog):
    answer_to(lambda req, next: next("oops"))
    assert "'oops'" in caplog.records[0].message
    assert not caplog.records[0].exc_info


@pytest.mark.parametrize("error", [ValueError("oops"), Reject(403, "no")], ids=repr)
def test_an_error_after_the_final_reply_is_logged_and_told_but_not_answered(error, caplog):
    core = Core()

    def reply_and_fail(req, next):
        req.reply(200, "OK")
        raise error

    assert answer_to(reply_and_fail, core) == (200, "OK")
    assert core.framework.errors == [error]
    assert caplog.records[0].exc_info[1] is error


def test_a_second_final_reply_is_an_error_in_the_log(caplog):
    core = Core()

    def reply_twice(req, next):
        req.reply(200, "OK")
        req.reply(200, "OK")

    assert answer_to(reply_twice, core) == (200, "OK")
    assert "came too late" in caplog.text
    assert len(core.framework.errors) == 1


def test_a_bad_status_in_a_handler_is_answered_500():
    core = Core()
    assert answer_to(lambda req, next: req.reply(99), core) == (500, "internal server error")
    assert isinstance(core.framework.errors[0], UsageError)


def test_data_that_cannot_be_sent_is_answered_500():
    reply = lambda req, next: req.reply(200, "OK", {"x": object()})  # noqa: E731
    assert answer_to(reply) == (500, "internal server error")


def test_an_exception_that_is_false_is_an_error_all_the_same():
    class Errors(Exception):
        """Some libraries raise a collection of what is wrong."""

        def __len__(self):
            return 0

    core = Core()
    core.router.use(raising(Errors()))
    core.router.get("/", lambda req, next: req.reply(200, "not checked at all"))
    assert core.connect().request("get", "/")["status"] == 500
    assert len(core.framework.errors) == 1


def test_an_error_that_the_host_raises_after_the_chain_is_answered_unless_that_was_done():
    class Teardown(Exception): ...

    core = Core()
    requests = []

    def run(function, *args):
        function(*args)
        raise Teardown

    core.framework.run = run
    core.router.get("/answered", lambda req, next: req.reply(200))
    core.router.get("/open", lambda req, next: requests.append(req))
    alice = core.connect()
    assert alice.request("get", "/answered")["status"] == 200
    assert alice.request("get", "/open")["status"] == 500
    assert alice.take_all() == []
    assert [type(error) for error in core.framework.errors] == [Teardown, Teardown]


def test_what_is_no_exception_is_answered_500_and_goes_on():
    class Timeout(BaseException): ...

    core = Core()
    core.router.get("/", raising(Timeout()))
    alice = core.connect()
    with pytest.raises(Timeout):
        alice.start_request("get", "/")
    assert alice.take()["status"] == 500


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


def test_a_chain_that_is_far_too_long_is_answered_500(caplog):
    core = Core()
    for _ in range(2000):
        core.router.use(lambda req, next: next())
    core.router.get("/short", lambda req, next: req.reply(200))
    alice = core.connect()
    assert alice.request("get", "/")["status"] == 500
    assert isinstance(core.framework.errors[0], RecursionError)
    assert alice.take_all() == []


# Disconnecting and closing


@pytest.mark.parametrize(
    ("uuid", "gone"), [(None, ["a1", "a2"]), ("a2", ["a2"]), ("a3", [])], ids=repr
)
def test_disconnect_closes_the_devices_of_a_user_and_says_how_many(uuid, gone):
    core = Core()
    clients = [core.connect("alice", "a1"), core.connect("alice", "a2"), core.connect("bob", "a1")]
    assert core.application.disconnect("alice", uuid, 3001, "banned") == len(gone)
    closed = [client for client in clients if client.link.closed]
    assert [client.peer.uuid for client in closed] == gone
    assert all(client.link.closed == (3001, "banned") for client in closed)
    assert all(not client.peer.online for client in closed)


def test_disconnecting_a_user_who_is_not_there_is_no_error():
    assert Core().application.disconnect("nobody", None, 3001, "banned") == 0


def test_disconnecting_nobody_in_particular_does_not_disconnect_everybody():
    core = Core()
    alice = core.connect()
    with pytest.raises(UsageError, match="takes a string, not None"):
        core.application.disconnect(None, None, 3001, "logged out")
    assert alice.peer.online


def test_a_handler_may_disconnect_its_own_peer():
    core = Core()

    @core.router.get("/")
    def disconnect(req, next):
        core.application.disconnect(req.peer.username, None, 3001, "bye")
        req.reply(200)

    alice = core.connect()
    alice.start_request("get", "/")
    assert alice.link.closed == (3001, "bye")
    assert alice.take_all() == core.framework.errors == []


def test_close_closes_every_link_with_1001():
    core = Core()
    clients = [core.connect("alice", "a1"), core.connect("bob", "b1")]
    told = []
    clients[0].peer.send(Request("get"), told.append)
    core.application.close()
    assert [client.link.closed for client in clients] == [(1001, "shutting down")] * 2
    assert core.application.directory.find() == []
    assert [response.status for response in told] == [410]
    assert core.scheduler.pending_timers == 0


# Reject


@pytest.mark.parametrize("code", [299, 200, 0, 700, True, "403", None], ids=repr)
def test_only_a_status_that_rejects_can_be_a_reject(code):
    with pytest.raises(UsageError, match="from 300 to 699"):
        Reject(code, "no")


@pytest.mark.parametrize("code", [300, 699])
def test_every_status_that_rejects_can_be_a_reject(code):
    assert answer_to(raising(Reject(code, "no"))) == (code, "no")


def test_a_reject_reads_as_its_code_and_reason():
    assert str(Reject(403, "banned")) == "403 banned"
    assert str(Reject(403)) == "403"
