"""An observer: told of everything that passes through the core, for metrics and logs.

``Runtime.observer`` is ``None`` unless there is one, and then nothing is called. The listeners of
a site are observers, too, and :mod:`.observers` joins them to one.
"""

from __future__ import annotations

from typing import Any


class Observer:
    """Does nothing. A subclass overrides the methods that it needs.

    ::

        class Arrivals(Observer):
            def connected(self, peer):
                statsd.incr("chat.connected")

        protoo.observe(Arrivals())

    The methods are called in the middle of other work, some while a lock is held: they must not
    block, and must not call methods of peers, requests or a ``Protoo``. Reading attributes is
    fine. An error of a method is logged once, and harms no peer. Under threads, the listeners of
    an app are called one at a time.

    Peers and requests are those that handlers see; everything in them that came from a client is
    untrusted.
    """

    #: Whether errors of its methods are caught. Only one that cannot raise says no: the guard
    #: costs 1 % of a request.
    is_guarded = True

    def begin_app(self) -> Observer:
        """Return the listener for one more app; by default, this one for all apps."""
        return self

    def started(self, application: Any) -> None:
        """An app is about to serve its first client.

        :param application: the :class:`~protoo_flask.core.application.Application`.
        """

    def connected(self, peer: Any) -> None:
        """A link of ``peer`` is open; the site is told next."""

    def received(self, peer: Any, size: int) -> None:
        """A text message of ``size`` bytes has come from ``peer``, before it is read."""

    def admitted(self, request: Any) -> None:
        """A request or notification is valid, and is handled next.

        ``request.admitted_at`` is the time, by the clock of the app's scheduler.
        """

    def notified(self, request: Any) -> None:
        """A notification is handled next; :meth:`admitted` has been told of it, too."""

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
            ``rate_of_peer``            a message of the peer: ``PROTOO_RATE_LIMIT``; it has no
                                        ``admitted``, and no ``answered``
            ``rate_of_user``            the same, of all devices of its user
            ``rate_of_path``            a message of the peer: a ``rate_limit()`` of the site
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
        """A message of ``size`` bytes was given to a link of ``peer``.

        A message that waits for a peer is told when the peer is back. A message that an earlier
        link has taken is told once more when the next link sends it again.
        """

    def concluded(self, transaction: Any) -> None:
        """A request of the server has its final ``transaction.response``."""

    def closed(self, peer: Any, code: int) -> None:
        """A link of ``peer`` has closed with this code (RFC 6455 section 7.1.5)."""

    def turned_away(self, status: int, reason: str) -> None:
        """A handshake was refused with this HTTP status."""

    def failed(self, error: BaseException, request: Any | None) -> None:
        """Code of the site has raised an error that is its own fault.

        :param request: that a handler was handling; ``None``: the error is of a listener, of a
            function that takes responses, or of a teardown function.
        """
