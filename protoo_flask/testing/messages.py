"""The messages of a test client: those that it has received, and the requests that it has sent."""

from __future__ import annotations

import json
from typing import Any, Callable, Iterator

from ..core.errors import UsageError
from ..core.response import Response

#: Characters of the data of a message in a failure.
SHOWN_LENGTH = 300


class IncomingNotification:
    """A notification that the server has sent to the client.

    :ivar method: its method.
    :ivar data: a dict.
    :ivar sender: ``{"username", "uuid"}`` of the peer that it comes from; ``None``: the site.
    """

    def __init__(self, method: str, data: dict[str, Any], sender: dict[str, str] | None) -> None:
        self.method = method
        self.data = data
        self.sender = sender

    def __repr__(self) -> str:
        return f"notification {self._show()}"

    def _show(self) -> str:
        sender = self.sender
        origin = "" if sender is None else f" from {sender.get('username')}/{sender.get('uuid')}"
        return f"{self.method!r}{origin} {show_data(self.data)}"


class IncomingRequest(IncomingNotification):
    """A request that the server has sent to the client; :meth:`reply` answers it.

    :ivar id: its id on the wire.
    :ivar is_answered: whether it has its final response.
    """

    def __init__(
        self,
        method: str,
        data: dict[str, Any],
        sender: dict[str, str] | None,
        id: int,
        answer: Callable[[IncomingRequest, bytes], None],
    ) -> None:
        super().__init__(method, data, sender)
        self.id = id
        self.is_answered = False
        self._answer = answer
        #: The text of the final response, which is sent again if the server asks again.
        self.final: bytes | None = None

    def reply(self, status: int, reason: str = "", data: dict[str, Any] | None = None) -> None:
        """Answer: with any number of provisional responses (1xx), then with a final one.

        :raises UsageError: after the final response, and for a status that is none.
        """
        response = Response(status, reason, data)
        if self.is_answered:
            raise UsageError(f"{self!r} has been answered; a request has one final response")
        message = {
            "status": response.status,
            "reason": reason,
            "id": self.id,
            "data": response.data,
        }
        text = json.dumps(message).encode()
        if response.is_final:
            self.is_answered, self.final = True, text
        self._answer(self, text)

    def __repr__(self) -> str:
        state = "" if self.is_answered else ", not answered"
        return f"request {self._show()}{state}"


class SentRequest:
    """A request of the client, made by ``client.send()``.

    ::

        sent = alice.send("session", "/users/bob")
        sent.expect_response(100)
        bob.expect_request("session").reply(200)
        assert sent.wait().status == 200

    Iteration gives the responses, and ends with the final one.

    :ivar method: its method.
    :ivar path: its path.
    :ivar data: its data.
    :ivar id: its id on the wire.
    :ivar responses: the responses so far.
    """

    def __init__(
        self,
        method: str,
        path: str,
        data: dict[str, Any],
        id: int,
        wait: Callable[[SentRequest, Callable[[], bool], str], None],
    ) -> None:
        self.method = method
        self.path = path
        self.data = data
        self.id = id
        self.responses: list[Response] = []
        self._wait = wait
        #: How many responses have been taken by the test.
        self._taken = 0

    @property
    def response(self) -> Response | None:
        """The final response; ``None`` while there is none."""
        last = self.responses[-1] if self.responses else None
        return last if last is not None and last.is_final else None

    def wait(self) -> Response:
        """Return the final response.

        :raises ExpectationFailed: when none comes before the app is at rest.
        """
        __tracebackhide__ = True
        self._wait(self, lambda: self.response is not None, "a final response")
        self._taken = len(self.responses)
        assert self.response is not None
        return self.response

    def expect_response(self, status: int | None = None) -> Response:
        """Return the next response, provisional or final.

        :param status: the status that it must have.
        :raises ExpectationFailed: when none comes before the app is at rest, or it has another.
        """
        __tracebackhide__ = True
        expected = "a response" if status is None else f"a response {status}"
        taken = self._taken

        def has_come() -> bool:
            return len(self.responses) > taken

        if not has_come():
            self._wait(self, has_come, expected)
        response = self.responses[taken]
        if status is not None and response.status != status:
            self._wait(self, lambda: False, f"{expected} next")
        self._taken += 1
        return response

    def __iter__(self) -> Iterator[Response]:
        while True:
            response = self.expect_response()
            yield response
            if response.is_final:
                return

    def __repr__(self) -> str:
        came = ", ".join(f"{item.status} {item.reason!r}" for item in self.responses)
        return f"{self.method} {self.path}: {came or 'no response'}"


class StrayResponse:
    """A response to no request of the client: id 0 is for a message that nobody could read.

    :ivar response: the response.
    """

    def __init__(self, response: Response) -> None:
        self.response = response

    def __repr__(self) -> str:
        found = self.response
        return f"response {found.status} {found.reason!r} to id {found.id}, which it has not sent"


def show_data(data: Any) -> str:
    """Return data for a failure, cut if it is long."""
    text = json.dumps(data, ensure_ascii=False)
    if len(text) <= SHOWN_LENGTH:
        return text
    return f"{text[:SHOWN_LENGTH]}... ({len(text)} characters)"
