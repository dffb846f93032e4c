"""An observer: told of everything that passes through the core, for metrics and logs."""

from __future__ import annotations

from typing import Any


class Observer:
    """Does nothing. A subclass overrides the methods that it needs.

    ``Runtime.observer`` is ``None`` unless there is one, and then nothing is called. The
    methods are called in the middle of other work, under threads in several at once: they
    must neither block nor raise. Peers and requests are those of the core; everything in
    them that came from a client is untrusted.
    """

    def connected(self, peer: Any) -> None:
        """A link of ``peer`` is open; the site is told next."""

    def received(self, peer: Any, size: int) -> None:
        """A text message of ``size`` bytes has come from ``peer``, before it is read."""

    def admitted(self, request: Any) -> None:
        """A request or notification is valid, and is handled next."""

    def refused(self, peer: Any, reason: str) -> None:
        """A message broke the wire format; its sender is told 400 with ``reason``."""

    def answered(self, request: Any, status: int) -> None:
        """A request of a peer got a response, provisional or final."""

    def sent(self, peer: Any, size: int) -> None:
        """A message of ``size`` bytes was sent to ``peer``, or waits for it to come back."""

    def concluded(self, transaction: Any) -> None:
        """A request of the server has its final ``transaction.response``."""

    def closed(self, peer: Any, code: int) -> None:
        """A link of ``peer`` has closed with this code (RFC 6455 section 7.1.5)."""
