from __future__ import annotations

import logging

import pytest

from protoo_flask.core.tracebacks import MAX_TEXT, format_traceback, log_error
from tests.fakes import Core

EVIL = "x\nroot logged in\r\x1b[2J\u202e\u2028\x85\0"
ESCAPED = "x\n    | root logged in\\r\\x1b[2J\\u202e\\u2028\\x85\\x00"


def raised(error: Exception, cause: Exception | None = None) -> Exception:
    try:
        raise error from cause
    except Exception as found:  # noqa: BLE001
        return found


def handled(first: Exception, second: Exception) -> Exception:
    try:
        try:
            raise first
        except Exception:  # noqa: BLE001
            raise second  # noqa: B904
    except Exception as found:  # noqa: BLE001
        return found


@pytest.mark.parametrize(
    "error",
    [
        raised(ValueError(EVIL)),
        raised(RuntimeError("failed"), raised(ValueError(EVIL))),
        handled(ValueError(EVIL), KeyError("k")),
        raised(SyntaxError(EVIL)),
    ],
    ids=["itself", "its cause", "its context", "a syntax error"],
)
def test_the_text_of_an_error_begins_no_line_of_the_log(error: Exception):
    text = format_traceback(error)
    assert all(line.isprintable() for line in text.split("\n"))
    assert ESCAPED in text
    assert "\nroot" not in text
    assert text.startswith("Traceback (most recent call last):\n  File ")
    assert "raise" in text  # the lines of the code are there


def test_a_plain_traceback_is_that_of_python():
    for error in (
        raised(ValueError("x")),
        raised(KeyError("x"), raised(ValueError("y"))),
        handled(ValueError("x"), KeyError("y")),
        ValueError("never raised"),
    ):
        expected = logging.Formatter().formatException((type(error), error, error.__traceback__))
        assert format_traceback(error).replace("^", "").split() == expected.replace("^", "").split()


@pytest.mark.parametrize("length", [MAX_TEXT, MAX_TEXT + 1, 60_000])
def test_the_text_of_an_error_is_cut(length: int):
    text = format_traceback(ValueError("x" * (length - len("ValueError: "))))
    assert len(text) <= MAX_TEXT + len("... (58000 more)")
    assert text.endswith("x") == (length <= MAX_TEXT)


def test_an_error_whose_text_fails_is_told():
    class Failing(Exception):
        def __str__(self) -> str:
            raise ZeroDivisionError

    assert "Failing" in format_traceback(raised(Failing()))


def test_a_long_chain_of_errors_is_cut():
    error: Exception | None = None
    for number in range(100):
        error = raised(ValueError(f"number {number}."), error)
    assert error is not None
    text = format_traceback(error)
    assert "number 99." in text
    assert "number 89." in text
    assert "number 88." not in text


def test_handlers_of_the_log_get_the_error_itself(caplog: pytest.LogCaptureFixture):
    error = raised(ValueError("x"))
    log_error(logging.getLogger("site"), error, "failed: %s", "y")
    (record,) = caplog.records
    assert record.getMessage() == "failed: y"
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    assert record.funcName == "test_handlers_of_the_log_get_the_error_itself"


def test_an_adapter_of_the_site_logs_in_its_own_way(caplog: pytest.LogCaptureFixture):
    adapter = logging.LoggerAdapter(logging.getLogger("site"), {})
    log_error(adapter, raised(ValueError("x")), "failed: %s", "y")
    assert [record.getMessage() for record in caplog.records] == ["failed: y"]


def test_a_level_above_errors_logs_nothing(caplog: pytest.LogCaptureFixture):
    logger = logging.getLogger("site.silent")
    logger.setLevel(logging.CRITICAL)
    log_error(logger, ValueError("x"), "failed")
    assert not caplog.records


def test_code_of_the_site_that_quotes_a_peer_forges_no_line(caplog: pytest.LogCaptureFixture):
    def fail(req, next):
        raise ValueError(f"not a number: {req.data['n']}")

    core = Core()
    core.router.message("/number", fail)
    alice = core.connect("alice")
    assert alice.request("message", "/number", {"n": EVIL})["status"] == 500
    assert "Traceback" in caplog.text
    assert "in fail" in caplog.text
    assert "\nroot" not in caplog.text
    assert "\x1b" not in caplog.text
