"""One sends, many get it."""

from __future__ import annotations

from typing import Callable, Sequence

from .client import Client, server_frame
from .frames import client_frame
from .polling import polling
from .wires import WrongAnswer


def run_fan_out(
    talker: Client,
    payloads: Sequence[bytes],
    recipients: Sequence[Client],
    check_answer: Callable[[bytes], None],
    check_copy: Callable[[bytes], None],
) -> None:
    """Let one send requests; the next when everybody has got what comes of the last.

    :param recipients: each gets one message for each request, the same for all of them.
    :param check_answer: looks closely at what the talker is answered.
    :param check_copy: looks closely at what the first recipient gets.
    """
    by_fd = {client.fd: client for client in recipients}
    with polling(recipients) as poller:
        for payload in payloads:
            talker.socket.sendall(client_frame(payload))
            expected = b""
            missing = set(by_fd)
            while missing:
                for fd, _ in poller.wait():
                    data = by_fd[fd].read()
                    if data != expected:
                        messages = by_fd[fd].take(data)
                        if not messages:
                            continue
                        if not expected:
                            check_copy(messages[0])
                            expected = server_frame(messages[0])
                        if [server_frame(message) for message in messages] != [expected]:
                            raise WrongAnswer(f"expected {expected!r}, got {messages!r}")
                    missing.remove(fd)
            check_answer(talker.receive())
