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

    def limited(self, limit: str, peer: Any | None) -> None:
        """Something was refused, or given up, because a limit was reached.

        :param limit: one of these names:

            ==========================  ======================================================
            ``connections_of_address``  a handshake: ``PROTOO_MAX_CONNECTIONS_PER_ADDRESS``
            ``handshakes_of_process``   a handshake: ``PROTOO_HANDSHAKES_PER_PROCESS``
            ``handshakes_of_address``   a handshake: ``PROTOO_HANDSHAKES_PER_ADDRESS``
            ``handshakes_of_user``      a handshake: ``PROTOO_HANDSHAKES_PER_USER``
            ``devices``                 a handshake: ``PROTOO_MAX_PEERS_PER_USER``
            ``descriptors``             a handshake: the process has no more descriptors or threads
            ``events``                  a handshake or join: the site's listeners do not keep up
            ``authorizations``          a handshake: too much happened while it was authorized
            ``waiting_requests``        a request: too many of the device wait
            ``stuck_handlers``          a request: handlers of the user do not return
            ``unanswered``              a request to the peer, which has not answered others
            ``visits``                  a request to a call or room at another node
            ``outbox``                  a message to the peer, which reads slowly or is away; or
                                        its connection, as it does not read at all
            ``mailbox``                 the wait for a peer that is away: it is offline
            ``bad_messages``            the connection of a peer that sends nonsense
            ``calls``                   a call: the peer or its user has made too many
            ``ringing``                 a call to the peer, where enough of them ring
            ``rooms``                   a join: the peer or its user is in too many rooms
            ``members``                 a join: the room is full
            ``subscriptions``           a ``subscribe``: the peer watches too many users
            ==========================  ======================================================

        :param peer: whose limit it is, for a message the receiver; ``None`` for a handshake.
        """

    def answered(self, request: Any, status: int) -> None:
        """A request of a peer got a response, provisional or final."""

    def sent(self, peer: Any, size: int) -> None:
        """A message of ``size`` bytes was sent to ``peer``, or waits for it to come back."""

    def concluded(self, transaction: Any) -> None:
        """A request of the server has its final ``transaction.response``."""

    def closed(self, peer: Any, code: int) -> None:
        """A link of ``peer`` has closed with this code (RFC 6455 section 7.1.5)."""
