"""JSON lines: the console for programs.

Each line of stdin is a message of the wire protocol, with ids of the program's own. Each line of
stdout is one, or an event.
"""

from __future__ import annotations

import json
import threading
from typing import Any, Iterable

from ...core.errors import ProtooError
from ...core.request import Request
from ...core.response import Response
from ..client import Client
from .conversation import MAX_UNANSWERED
from .output import Output


class JsonLines:
    """Sends the messages of stdin, and prints all that comes.

    :ivar has_failed: whether a request was rejected or not answered, or a line was no message.
    """

    def __init__(self, client: Client, output: Output, timeout: float) -> None:
        self._client = client
        self._output = output
        self._timeout = timeout
        self._changed = threading.Condition()
        #: Requests whose final response was not printed; for a moment, it may be negative.
        self._under_way = 0
        self._received: dict[int, Request] = {}
        self.has_failed = False
        client.on("open", lambda: self.print({"event": "open", "uuid": client.uuid}))
        client.on(
            "close",
            lambda closed: self.print(
                {
                    "event": "close",
                    "code": closed.code,
                    "reason": closed.reason,
                    "willReconnect": closed.will_reconnect,
                    "delay": closed.delay,
                    "retryAfter": closed.retry_after,
                }
            ),
        )
        client.on(
            "refused",
            lambda refused: self.print(
                {"event": "refused", "status": refused.status, "reason": refused.reason}
            ),
        )
        client.on("request", self._print_request)
        client.on("notification", self._print_request)

    def print(self, message: dict[str, Any]) -> None:
        """Print a line."""
        self._output.write(json.dumps(message) + "\n")

    def run(self, lines: Iterable[str]) -> None:
        """Send each line; return when all requests are answered."""
        for line in lines:
            if not line.strip():
                continue
            try:
                self._send(json.loads(line))
            except (ValueError, TypeError, KeyError, ProtooError) as error:
                self.has_failed = True
                text = f"{type(error).__name__}: {error}"
                self.print({"event": "error", "reason": text, "line": line.strip()[:200]})
        with self._changed:
            self._changed.wait_for(lambda: not self._under_way)

    def _send(self, message: Any) -> None:
        if not isinstance(message, dict):
            raise ValueError("expected an object with a method and a path, or a status and an id")
        data = message.get("data")
        if "status" in message:
            req = self._received.get(message["id"])
            if req is None:
                raise ValueError(f"no request with the id {message['id']} waits for an answer")
            req.reply(message["status"], message.get("reason", ""), data)
            if req.ended:
                self._received.pop(message["id"], None)
            return
        if "id" not in message:
            self._client.notify(message["method"], message["path"], data)
            return

        def print_response(response: Response) -> None:
            self.has_failed |= response.is_reject
            self.print(
                {
                    "status": response.status,
                    "reason": response.reason,
                    "id": message["id"],
                    "data": response.data,
                    **({"isLocal": True} if response.is_local else {}),
                }
            )
            if response.is_final:
                with self._changed:
                    self._under_way -= 1
                    self._changed.notify()

        timeout = message.get("timeout", self._timeout)
        self._client.send(message["method"], message["path"], data, print_response, timeout=timeout)
        with self._changed:
            self._under_way += 1

    def _print_request(self, req: Request) -> None:
        message: dict[str, Any] = {"method": req.method, "data": req.data}
        if req.id is not None:
            self._received[req.id] = req
            if len(self._received) > MAX_UNANSWERED:
                del self._received[next(iter(self._received))]
            message["id"] = req.id
        if req.sender is not None:
            message["sender"] = req.sender
        self.print(message)
