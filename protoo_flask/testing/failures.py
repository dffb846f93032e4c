"""The failures of a test: each tells what was expected, and what came instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from werkzeug.test import TestResponse


class ExpectationFailed(AssertionError):
    """A client has not received what the test expected; the text shows what came instead."""


class Unsettled(AssertionError):
    """The app has not come to rest, so nothing can be said about what will not happen.

    :ivar activity: the greenlets and threads that may still act, in words.
    """

    def __init__(self, patience: float, activity: list[str]) -> None:
        lines = "".join(f"\n  - {item}" for item in activity)
        super().__init__(
            f"the app has not come to rest within {patience:g} s of real time. These may still "
            f"act:{lines}\n"
            "Let them end, for example by an event that the test sets. If they never end, and have "
            "nothing to do with the test: protoo.test_clock.ignore(greenlet_or_thread)"
        )
        self.activity = activity


class Leak(AssertionError):
    """A test has left something behind.

    :ivar found: what, in words.
    """

    def __init__(self, found: list[str]) -> None:
        lines = "".join(f"\n  - {item}" for item in found)
        super().__init__(f"the test has left behind, after its clients have gone:{lines}")
        self.found = found


class Refused(Exception):
    """The site has refused a handshake, with an HTTP status.

    ::

        with pytest.raises(Refused) as refused:
            protoo.test_client(app.test_client(), uuid="phone")
        assert refused.value.status == 403

    :ivar status: the HTTP status.
    :ivar reason: the text of the answer.
    :ivar response: the whole answer, as Flask's test client returns it: headers, cookies. ``None``
        if the client was let in by the view, and had lost its place when it was its turn.
    """

    def __init__(self, status: int, reason: str, response: TestResponse | None, hint: str) -> None:
        super().__init__(f"the handshake was answered {status}: {reason.strip()}{hint}")
        self.status = status
        self.reason = reason.strip()
        self.response = response
