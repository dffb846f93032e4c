"""Handling: an error of a handler is answered with its status or 500, logged, and told."""

from __future__ import annotations

import logging
from email.message import Message
from http import HTTPStatus
from io import BytesIO
from urllib.error import HTTPError

import pytest

from protoo_flask.core.errors import BadPath, NotAdmitted, Reject, UsageError, WaitTimeout
from tests.fakes import Core

from .handlers import answer_to, raising


class ErrorWith(Exception):
    """The error of an API client, say, whose text has a URL with a password."""

    def __init__(self, status=None, **attributes):
        super().__init__("https://user:secret@api.example.org/")
        self.status = status
        vars(self).update(attributes)


class TooManyRooms(Reject):
    """A class of a site's own that speaks."""

    def __init__(self):
        super().__init__(403, "you are in too many rooms")


def urllib_error():
    url = "https://user:secret@api.example.org/"
    return HTTPError(url, 404, f"nothing at {url}", Message(), BytesIO())


# The response


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
        (ErrorWith(status=409), (500, "internal server error")),
        (ErrorWith(status=503), (500, "internal server error")),
        (ErrorWith(status=HTTPStatus.CONFLICT), (500, "internal server error")),
        (ErrorWith(status="409"), (500, "internal server error")),
        (ErrorWith(code=404), (500, "internal server error")),
        (ErrorWith(status=404, code=404, reason="secret"), (500, "internal server error")),
        (urllib_error(), (500, "internal server error")),
        (TooManyRooms(), (403, "you are in too many rooms")),
        (WaitTimeout("to <Request get / 1>"), (500, "internal server error")),
        (NotAdmitted(1008, "secret"), (500, "internal server error")),
    ],
    ids=lambda value: repr(value) if isinstance(value, Exception) else None,
)
def test_an_error_is_answered_with_its_status_or_500(error, answer):
    core = Core()
    assert answer_to(raising(error), core) == answer
    assert core.framework.errors == [error]


@pytest.mark.parametrize("code", [300, 699])
def test_every_status_that_rejects_can_be_a_reject(code):
    assert answer_to(raising(Reject(code, "no"))) == (code, "no")


def test_an_error_given_to_next_is_answered_like_one_that_is_raised():
    assert answer_to(lambda req, next: next(Reject(403, "no"))) == (403, "no")
    assert answer_to(lambda req, next: next(ValueError("secret"))) == (500, "internal server error")
    assert answer_to(lambda req, next: next("oops")) == (500, "internal server error")


def test_the_framework_may_describe_an_error():
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


def test_a_lone_surrogate_in_a_reason_is_replaced():
    core = Core()
    assert answer_to(raising(Reject(403, "half \ud83d")), core) == (403, "half \ufffd")
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
        """Some libraries raise a collection of errors."""

        def __len__(self):
            return 0

    core = Core()
    core.router.use(raising(Errors()))
    core.router.get("/", lambda req, next: req.reply(200, "not checked at all"))
    assert core.connect().request("get", "/")["status"] == 500
    assert len(core.framework.errors) == 1


def test_an_error_that_ends_the_greenlet_is_answered_500_and_raised_again():
    class Timeout(BaseException): ...

    core = Core()
    core.router.get("/", raising(Timeout()))
    alice = core.connect()
    with pytest.raises(Timeout):
        alice.start_request("get", "/")
    assert alice.take()["status"] == 500


def test_a_chain_that_is_far_too_long_is_answered_500(caplog):
    core = Core()
    for _ in range(2000):
        core.router.use(lambda req, next: next())
    core.router.get("/short", lambda req, next: req.reply(200))
    alice = core.connect()
    assert alice.request("get", "/")["status"] == 500
    assert isinstance(core.framework.errors[0], RecursionError)
    assert alice.take_all() == []


# The log


@pytest.mark.parametrize(
    ("error", "logged"),
    [
        (ValueError("oops"), True),
        (ErrorWith(500), True),
        (ErrorWith(404), True),
        (Reject(403), False),
        (Reject(500), True),
    ],
    ids=["exception", "status 500", "status 404", "reject", "reject 500"],
)
def test_an_error_of_the_server_is_logged_with_its_traceback(error, logged, caplog):
    answer_to(raising(error))
    assert len(caplog.records) == logged
    for record in caplog.records:
        assert record.levelno == logging.ERROR
        assert record.exc_info[1] is error
        assert "error in get / from <Peer alice/a1 online>" in record.message


def test_an_error_that_is_no_exception_is_logged_without_a_traceback(caplog):
    def fail(req, next):
        next("oops")

    answer_to(fail)
    place = f"({__file__}:{fail.__code__.co_firstlineno})"
    test = test_an_error_that_is_no_exception_is_logged_without_a_traceback.__name__
    assert caplog.records[0].message.endswith(f": 'oops', last in {__name__}.{test}.fail {place}")
    assert not caplog.records[0].exc_info


# After the final response


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


def test_an_error_of_a_teardown_function_is_answered_unless_the_request_was():
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
