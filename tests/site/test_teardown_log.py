"""The log of failed teardown functions."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from protoo_flask.site.teardown_log import TeardownLog, find_function

LOGGER = logging.getLogger("site")


def fail():
    raise AttributeError("db")


def fail_deeper():
    int("x")
    fail()


def catch(function):
    with pytest.raises((AttributeError, OSError, ValueError)) as caught:
        function()
    return caught.value


def in_package(package, function):
    """Return a function of another package that calls this one."""
    names = {"__name__": f"{package}.app", "function": function}
    exec("def call():\n    function()", names)
    return names["call"]


def name(function):
    return f"{__name__}.{function.__name__} ({__file__}:{function.__code__.co_firstlineno})"


@pytest.mark.parametrize("function", [fail, fail_deeper])
def test_the_function_of_the_site_is_found_below_those_of_flask_and_of_this_package(function):
    call = in_package("protoo_flask.site", in_package("flask", function))
    error = catch(call)
    error = error.with_traceback(error.__traceback__.tb_next)
    assert find_function(error) == name(function)


def test_of_a_group_of_errors_the_first_one_counts():
    error = catch(fail)
    error.__traceback__ = error.__traceback__.tb_next
    inner = SimpleNamespace(exceptions=[error])
    assert find_function(SimpleNamespace(exceptions=[inner])) == name(fail)


def test_an_error_without_a_traceback_has_no_function():
    assert find_function(ValueError("no")) == "an unknown function"


def test_a_function_is_explained_once_and_then_told_in_one_line(caplog):
    log = TeardownLog()
    for function in (fail, fail, fail_deeper):
        error = catch(function)
        log.add(LOGGER, "get /x", error.with_traceback(error.__traceback__.tb_next))
    first, again, other = caplog.records
    assert first.getMessage() == (
        f"error after get /x: AttributeError('db'), in {name(fail)}. Teardown functions run after "
        "each message and event, and before_request functions do not: docs/flask.md tells what "
        "runs when"
    )
    assert first.exc_info[0] is AttributeError
    assert again.getMessage() == f"error after get /x: AttributeError('db'), again in {name(fail)}"
    assert not again.exc_info
    assert name(fail_deeper) in other.getMessage()
    assert other.exc_info[0] is ValueError


def test_another_error_of_the_same_function_is_explained_too(caplog):
    log = TeardownLog()
    errors = [AttributeError("db"), OSError("disk full"), AttributeError("db"), OSError("full")]
    for error in errors:

        def fail_with(error=error):
            raise error

        log.add(LOGGER, "get /x", catch(fail_with))
    explained = [record.exc_info and record.exc_info[0] for record in caplog.records]
    assert explained == [AttributeError, OSError, None, None]
