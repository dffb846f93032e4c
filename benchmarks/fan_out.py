"""One client sends a message, and many clients get it."""

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
    """Let the talker send requests, each after all recipients have got the last message.

    :param recipients: each one gets one message for each request, the same for all of them.
    :param check_answer: checks the answer to the talker in detail.
    :param check_copy: checks the message to the first recipient in detail.
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
