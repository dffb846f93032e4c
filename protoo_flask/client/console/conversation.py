"""A conversation: commands of a person, and the messages of the server."""

from __future__ import annotations

import itertools
import json
import threading
from typing import Any

from ...core.errors import ProtooError
from ...core.excerpts import escape
from ...core.request import Request
from ...core.response import Response
from ...core.transactions.client import ClientTransaction
from ..client import Client
from ..events import Closed
from .commands import HELP, BadCommand, Reply, Send, Word, parse_command
from .terminal import Terminal

#: Requests that wait for an answer by hand; older ones are forgotten.
MAX_UNANSWERED = 1000


class Conversation:
    """Runs commands, and shows messages as they come.

    :ivar has_failed: whether a request was rejected or not answered, or a line was no command.
    """

    def __init__(self, client: Client, terminal: Terminal, timeout: float) -> None:
        self._client = client
        self._terminal = terminal
        self._timeout = timeout
        self._sent_numbers = itertools.count(1)
        self._received_numbers = itertools.count(1)
        self._was_open = False
        self._sent: dict[int, ClientTransaction] = {}
        self._received: dict[int, Request] = {}
        self.has_failed = False
        client.on("open", self._show_open)
        client.on("close", self._show_close)
        client.on("request", self._show_request)
        client.on("notification", self._show_notification)

    def run(self) -> None:
        """Run the commands until the last one."""
        for line in self._terminal.lines():
            try:
                command = parse_command(line)
                if command == Word("quit"):
                    return
                if command is not None:
                    self._do(command)
            except (BadCommand, ProtooError) as error:
                self.has_failed = True
                self._terminal.print(f"! {error}")

    def _do(self, command: Send | Reply | Word) -> None:
        if isinstance(command, Send):
            self._send(command)
        elif isinstance(command, Reply):
            self._reply(command)
        elif command.word == "requests":
            for number, req in list(self._received.items()):
                self._terminal.print(f"#{number} {describe(req)}")
        elif command.word == "cancel":
            for transaction in list(self._sent.values()):
                transaction.cancel()
        else:
            self._terminal.print(HELP)

    def _send(self, command: Send) -> None:
        if command.is_notification:
            self._client.notify(command.method, command.path, command.data)
            return
        number = next(self._sent_numbers)
        is_over = threading.Event()

        def show(response: Response) -> None:
            arrow = "<-" if response.is_final else "<."
            note = "  (made here: there was no answer)" if response.is_local else ""
            self._terminal.print(f"{arrow} {describe_response(response)}{note}")
            if response.is_final:
                self._sent.pop(number, None)
                self.has_failed |= not response.is_accept
                is_over.set()

        transaction = self._client.send(
            command.method, command.path, command.data, show, timeout=self._timeout
        )
        if transaction.response is None:
            self._sent[number] = transaction
        if not self._terminal.is_interactive:
            is_over.wait()

    def _reply(self, command: Reply) -> None:
        number = command.number or next(iter(self._received), 0)
        req = self._received.get(number)
        if req is None:
            raise BadCommand("no request waits for an answer" + (f", #{number}" * bool(number)))
        req.reply(command.status, command.reason, command.data)
        if command.status >= 200:
            self._received.pop(number, None)

    def _show_request(self, req: Request) -> None:
        number = next(self._received_numbers)
        self._received[number] = req
        if len(self._received) > MAX_UNANSWERED:
            del self._received[next(iter(self._received))]
        self._terminal.print(f"-> #{number} {describe(req)}   (answer: reply #{number} 200 OK)")

    def _show_notification(self, req: Request) -> None:
        self._terminal.print(f"-> {describe(req)}")

    def _show_open(self) -> None:
        self._was_open = True
        self._terminal.print(f"* connected as {self._client.uuid}")

    def _show_close(self, closed: Closed) -> None:
        if not (closed.will_reconnect or self._was_open):
            return  # the command line tells why
        after = "" if closed.delay is None else f"; the next attempt in {closed.delay:.1f} s"
        text = f"* closed: {closed.code} {escape(closed.reason)}".rstrip()
        self._terminal.print(text + after)


def describe(req: Request) -> str:
    """Return a request as a line. Its texts are untrusted."""
    sender = req.sender
    by = "" if sender is None else f" from {sender['username']}/{sender['uuid']}"
    return escape(f"{req.method}{by} {_to_json(req.data)}")


def describe_response(response: Response) -> str:
    """Return a response as a line. Its texts are untrusted."""
    data = f" {_to_json(response.data)}" if response.data else ""
    return escape(f"{response.status} {response.reason}".rstrip() + data)


def _to_json(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False)
