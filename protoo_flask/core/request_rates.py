"""The rates of the requests and notifications that clients send: ``PROTOO_RATE_LIMIT``.

A message is counted when it arrives, once: the time in the backlog makes no difference, and a
repetition of a request that was counted before its client had lost the connection is free. Messages
that break the wire format are not counted here: they have a limit of their own
(:data:`.inbox.MAX_VIOLATIONS`). Neither are responses and pings.

===========================================  =================================================
a message                                    then
===========================================  =================================================
within the rates of its device and its user  is handled, or waits for its turn
beyond                                       a request is answered 429, a notification dropped
beyond, and its device has used up its       the same, and the link is closed with 1008
patience
===========================================  =================================================

*Patience* is for clients that do not listen to ``retryAfter``: as many refusals in a minute as
:data:`EXCESS` times the messages that the limit allows in it, and no fewer than
:data:`MIN_PATIENCE`. A client that sends a refused message again no sooner than it was told is
refused once for each message, or twice if it sends others meanwhile.
"""

from __future__ import annotations

from typing import Any, Callable, Tuple

from .excerpts import excerpt
from .occasions import Occasions
from .rate_limit import Limit, make_buckets
from .rates import Rate, Rates
from .scheduling import Scheduler

#: The refusals of a device that close its link: so many times what it may send in a minute.
EXCESS = 10

#: Refusals of a device that never close its link, however low the rate is: a client may have
#: sent as many before it reads the first 429.
MIN_PATIENCE = 1000

#: Seconds in which patience comes back.
PERIOD = 60

#: The limits, as an observer is told of them.
OF_PEER, OF_USER = "rate_of_peer", "rate_of_user"

REASON = "too many requests"
CLOSE_REASON = "rate limit exceeded"


#: A message that is beyond a rate: :data:`OF_PEER` or :data:`OF_USER`; the seconds after which it
#: may be sent again; and whether the device has used up its patience.
Refusal = Tuple[str, float, bool]


class RequestRates:
    """The rates of one app.

    :param make_limit: ``make_limit(scope, rate)``: makes a limit, for all nodes of a cluster.
    :param warn: logs a warning: a format, and its arguments.
    """

    def __init__(
        self,
        rates: Rates,
        make_limit: Callable[[str, Rate], Limit],
        scheduler: Scheduler,
        warn: Callable[..., Any],
    ) -> None:
        self._rates = rates
        self._now = scheduler.now
        self._warn = warn
        self._occasions = Occasions(scheduler.now)
        self._of_peer = None if rates.peer is None else make_limit(OF_PEER, rates.peer)
        self._of_user = None if rates.user is None else make_limit(OF_USER, rates.user)
        rate = rates.peer or rates.user
        assert rate is not None
        assert rate.burst is not None
        patience = max(EXCESS * (rate.burst + PERIOD * rate.per_second), MIN_PATIENCE)
        self._patience = make_buckets(scheduler, patience / PERIOD, patience)

    def take(self, peer: Any) -> Refusal | None:
        """Count a message that has come from a peer; ``None`` when it is within the rates."""
        now = self._now()
        of_peer, of_user = self._of_peer, self._of_user
        username = peer.username
        if of_peer is not None:
            name = username, peer.uuid
            wait = of_peer.take(name, now)
            if wait:
                return self._refuse(peer, OF_PEER, of_peer.promise(name, now, wait), now)
        if of_user is not None:
            wait = of_user.take(username, now)
            if wait:
                if of_peer is not None:
                    of_peer.give_back((username, peer.uuid), now)
                return self._refuse(peer, OF_USER, of_user.promise(username, now, wait), now)
        return None

    def give_back(self, peer: Any) -> None:
        """Count a message less: it is known, and was counted when it came for the first time."""
        now = self._now()
        if self._of_peer is not None:
            self._of_peer.give_back((peer.username, peer.uuid), now)
        if self._of_user is not None:
            self._of_user.give_back(peer.username, now)

    def _refuse(self, peer: Any, limit: str, wait: float, now: float) -> Refusal:
        username, uuid = peer.username, peer.uuid
        if self._occasions.begins((limit, username, uuid if limit is OF_PEER else None)):
            rate = self._rates.peer if limit is OF_PEER else self._rates.user
            who = f"user {excerpt(username)}"
            if limit is OF_PEER:
                who = f"device {excerpt(uuid)} of {who}"
            self._warn("requests of %s are refused for now: PROTOO_RATE_LIMIT is %s", who, rate)
        is_last = bool(self._patience.take((username, uuid), now))
        if is_last and self._occasions.begins(("close", username, uuid)):
            self._warn(
                "%r is closed: it goes on sending far beyond PROTOO_RATE_LIMIT, whatever time it "
                "is told to wait",
                peer,
            )
        return limit, wait, is_last
