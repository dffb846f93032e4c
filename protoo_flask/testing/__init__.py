"""The test kit: clients in the process of a test, a clock moved by hand, and a check for leaks.

docs/testing.md is the guide. ``protoo.test_client()`` and ``protoo.test_clock`` are the way in.
This module has the classes that they return, and the exceptions that they raise.
"""

from __future__ import annotations

from flask import Flask

from .client import TestClient
from .clock import TestClock
from .failures import ExpectationFailed, Leak, Refused, Unsettled
from .messages import IncomingNotification, IncomingRequest, SentRequest
from .server import find_server

__all__ = [
    "ExpectationFailed",
    "IncomingNotification",
    "IncomingRequest",
    "Leak",
    "Refused",
    "SentRequest",
    "TestClient",
    "TestClock",
    "Unsettled",
    "finish",
]


def finish(app: Flask) -> None:
    """Close the clients of an app, and check that nothing is left: for the end of a test.

    Left may be peers, timers, requests without a response, and greenlets that do not return. The
    pytest fixtures call it. With ``unittest``::

        self.addCleanup(protoo_flask.testing.finish, app)

    :raises Leak: when something is left.
    :raises Unsettled: when the app does not come to rest.
    """
    find_server(app).finish()
