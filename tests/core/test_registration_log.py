"""The log of registrations: which of them are the same."""

from __future__ import annotations

import functools
import gc
import weakref

import pytest

from protoo_flask.core.errors import UsageError
from protoo_flask.core.registration_log import RegistrationLog, make_fingerprint


def make_function(value, other=lambda: 1):
    def function(req, next):
        return value, other

    return function


def make_class():
    class Handler:
        def handle(self, req, next): ...

    return Handler


@pytest.mark.parametrize(
    "make",
    [
        lambda: make_function("a"),
        lambda: make_function(object()),
        lambda: make_function([1, ("a", None)]),
        lambda: functools.partial(make_function(1), "a", room="b"),
        lambda: make_class()().handle,
        lambda: make_class()(),
        lambda: RegistrationLog().fingerprint,
        lambda: print,
    ],
)
def test_the_same_code_with_the_same_values_has_one_fingerprint(make):
    first, second = (make() for _ in range(2))
    assert make_fingerprint(first) == make_fingerprint(second)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (make_function("a"), make_function("b")),
        (make_function("a"), make_function("a", lambda: 2)),
        (lambda: 1, lambda: 2),
        (lambda value=1: value, lambda value=2: value),
        (functools.partial(print, 1), functools.partial(print, 2)),
        (functools.partial(print, end=""), functools.partial(print, sep="")),
        (["/a"], ["/b"]),
        (make_class()(), object()),
    ],
)
def test_other_code_and_other_values_have_another_one(one, other):
    assert make_fingerprint(one) != make_fingerprint(other)


def test_a_function_that_refers_to_itself_has_a_fingerprint():
    def function(req, next):
        return function

    assert make_fingerprint(function) == make_fingerprint(function)


def test_a_variable_without_a_value_has_one_too():
    def make():
        def function(req, next):
            return later

        fingerprint = make_fingerprint(function)
        later = 1
        return fingerprint, later

    assert make() == make()


def test_nothing_of_the_site_is_kept_alive():
    class Database: ...

    database = Database()
    log = RegistrationLog()
    log.add("/path", make_function(database), database, Database)
    dropped = weakref.ref(database), weakref.ref(Database)
    del database, Database
    gc.collect()
    assert [ref() for ref in dropped] == [None, None]


def test_a_registration_is_refused_only_for_another_app():
    log = RegistrationLog()

    def register(subject):
        log.add("/path", subject)

    for _ in range(2):
        register("a")
    log.begin_app()
    register("b")
    log.add("/path", "a")  # from another line
    for _ in range(2):
        with pytest.raises(UsageError, match=f"{__file__}:.* has registered the same before"):
            register("a")
    log.begin_app()
    with pytest.raises(UsageError):
        register("b")
