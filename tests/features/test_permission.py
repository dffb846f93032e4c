"""The check of an ``allow`` that is no function allow(peer, username)."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from protoo_flask import Protoo
from protoo_flask.core.errors import UsageError
from protoo_flask.middleware import p2p_messenger, presence, session_handler

from .sites import Deaf

#: The middleware that take an ``allow``, with the way to permit everything.
MIDDLEWARE: Any = pytest.mark.parametrize(
    ("middleware", "everybody"),
    [
        (p2p_messenger, "None lets everybody write to everybody"),
        (session_handler, "None lets everybody call everybody"),
        (presence, "lambda peer, username: True lets everybody watch everybody"),
    ],
)


@MIDDLEWARE
@pytest.mark.parametrize("allow", [True, False, 0, "friends", ["bob"], {"alice": ["bob"]}])
def test_an_allow_that_is_no_function_is_refused_with_the_ways_out(middleware, everybody, allow):
    with pytest.raises(UsageError) as caught:
        middleware(Deaf(), allow=allow)
    message = str(caught.value)
    assert f"{middleware.__name__}(" in message
    assert "takes a function allow(peer, username) that returns whether" in message
    assert everybody in message
    assert message.endswith(f"got {allow!r}")


async def allow_later(peer, username):
    return True


class Later:
    async def __call__(self, peer, username):
        return True


@MIDDLEWARE
@pytest.mark.parametrize("allow", [allow_later, Later()])
def test_a_coroutine_function_cannot_allow_because_its_result_would_always_be_true(
    middleware, everybody, allow
):
    with pytest.raises(UsageError, match="coroutine function"):
        middleware(Deaf(), allow=allow)


@MIDDLEWARE
@pytest.mark.parametrize("allow", [lambda username: True, lambda: True, lambda req, next, x: True])
def test_an_allow_with_other_arguments_is_refused(middleware, everybody, allow):
    with pytest.raises(UsageError, match=r"cannot be called as fn\(peer, username\)"):
        middleware(Deaf(), allow=allow)


class Friends:
    def may_reach(self, peer, username):
        return True

    def __call__(self, peer, username):
        return True


@MIDDLEWARE
@pytest.mark.parametrize(
    "allow",
    [
        Friends().may_reach,
        Friends(),
        functools.partial(lambda table, peer, username: True, {}),
        lambda *args: True,
        lambda peer, username, reason="": True,
    ],
)
def test_whatever_can_be_called_with_a_peer_and_a_username_is_taken(middleware, everybody, allow):
    middleware(Protoo(), allow=allow)
