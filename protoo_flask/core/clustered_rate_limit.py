"""A rate limit that holds for all nodes of a cluster together.

Each node has a bucket of its own for each name, with the whole burst and rate, and decides by that
without asking. It counts what it has allowed and not reported yet. When that is more than it may
keep to itself, it reports it to the directory, which has one bucket for each name, and is told
what all nodes have taken. Its own bucket is then at least as empty as that.

==================================  ========================================================
something is allowed at a node      then
==================================  ========================================================
no more than :data:`TRICKLE` times  nothing: the directory is never asked about such a name
the rate, and :data:`PORTION`
of the burst
more                                what was not reported is; the reply comes later. A caller
                                    that may block waits for it: :meth:`~ClusteredRateLimit.\
take_surely`
the directory is away               nothing: this node's own bucket counts. It is made up for
==================================  ========================================================

In any time T, n nodes together allow at most ``burst + rate T``, and what they have not reported,
``n (PORTION burst + 1 + TRICKLE rate T)``, and what they allow while reports are on their way. In
no case does a node allow more than its own bucket. Wherever a name moves, the bucket in the
directory is the same one: a move refills nothing.
"""

from __future__ import annotations

from typing import Any, Callable, NamedTuple

from .rate_limit import TokenBuckets, make_buckets
from .scheduling import Scheduler

#: The part of the burst that a node may allow before it reports.
PORTION = 0.1

#: The part of the rate that a node never reports.
TRICKLE = 0.05

#: Seconds that :meth:`ClusteredRateLimit.take_surely` waits for the directory, at most.
PATIENCE = 0.5


class Spending(NamedTuple):
    """What a node takes from a bucket that all nodes share.

    :ivar bucket: its name.
    :ivar seconds: after which the bucket will have been refilled by as much; below 0, it is given
        back.
    :ivar capacity: seconds in which the bucket is filled when it is empty.
    :ivar is_surely: whether nothing is taken if the bucket does not have as much.
    """

    bucket: str
    seconds: float
    capacity: float
    is_surely: bool = False


class Spent(NamedTuple):
    """The reply of the directory.

    :ivar was_taken: whether it was taken.
    :ivar deficit: seconds until the bucket will be full.
    """

    was_taken: bool
    deficit: float


#: ``spend(spending, then)``: never blocks. ``then(spent)`` is called soon, and must not block; with
#: ``None`` when the directory cannot be reached.
Spend = Callable[[Spending, Callable[["Spent | None"], Any]], None]


class ClusteredRateLimit:
    """A limit that each name has for itself, at all nodes together.

    :param scope: the limit's name, the same at all nodes.
    :param limit: of this node.
    """

    def __init__(self, scope: str, limit: TokenBuckets, scheduler: Scheduler, spend: Spend) -> None:
        self._scope = scope
        self._limit = limit
        self._scheduler = scheduler
        self._spend = spend
        self.rate = limit.rate
        # One that holds less than one token: everything is reported.
        portion = int(PORTION * limit.burst)
        self._unreported = make_buckets(scheduler, TRICKLE * limit.rate, portion)
        #: What could not be reported, and would not have been refilled meanwhile.
        self._kept = make_buckets(scheduler, limit.rate, limit.burst)
        self.look, self.promise = limit.look, limit.promise

    def take(self, name: Any, now: float, cost: float = 1) -> float:
        """See :meth:`.TokenBuckets.take`."""
        wait = self._limit.take(name, now, cost)
        if not wait and self._unreported.take(name, now, cost):
            self._report(name, self._unreported_tokens(name, now) + cost)
        return wait

    def take_surely(self, name: Any, now: float, cost: float = 1) -> float:
        """See :meth:`take`; waits for the directory where :meth:`take` would report."""
        wait = self._limit.take(name, now, cost)
        if wait or not self._unreported.take(name, now, cost):
            return wait
        before = self._unreported_tokens(name, now)
        outcome: list[Spent | None] = []
        done = self._scheduler.event()

        def take_reply(spent: Spent | None) -> None:
            outcome.append(spent)
            if spent is None:
                self._keep(name, before + cost)
            else:
                if not spent.was_taken:
                    self._limit.give_back(name, self._scheduler.now(), cost)
                    if before:
                        self._report(name, before)  # it has been allowed
                self._note(name, spent)
            done.set()

        self._send(name, before + cost, take_reply, is_surely=True)
        if not done.wait(PATIENCE) or not outcome or outcome[0] is None:
            return 0  # allowed by this node's own bucket
        spent = outcome[0]
        if spent.was_taken:
            return 0
        limit = self._limit
        return max(spent.deficit + cost * limit.interval - limit.capacity, limit.interval / 100)

    def give_back(self, name: Any, now: float, cost: float = 1) -> None:
        """See :meth:`.TokenBuckets.give_back`."""
        self._limit.give_back(name, now, cost)
        if self._unreported.deficit(name, now) >= cost * self._unreported.interval:
            self._unreported.give_back(name, now, cost)
        else:
            self._report(name, -cost)

    # Reports ---------------------------------------------------------------------------------

    def _unreported_tokens(self, name: Any, now: float) -> float:
        """Return what was not reported, which now counts as reported."""
        return self._unreported.empty_deficit(name, now) / self._unreported.interval

    def _report(self, name: Any, tokens: float) -> None:
        def take_reply(spent: Spent | None) -> None:
            if spent is None:
                self._keep(name, tokens)
            else:
                self._note(name, spent)

        tokens += self._kept.empty_deficit(name, self._scheduler.now()) / self._limit.interval
        self._send(name, tokens, take_reply)

    def _send(
        self,
        name: Any,
        tokens: float,
        then: Callable[[Spent | None], None],
        is_surely: bool = False,
    ) -> None:
        limit = self._limit
        parts = name if isinstance(name, tuple) else (name,)
        bucket = "\0".join((self._scope, *parts))
        spending = Spending(bucket, tokens * limit.interval, limit.capacity, is_surely)
        self._spend(spending, then)

    def _note(self, name: Any, spent: Spent) -> None:
        """Have this node's bucket at least as empty as that of all nodes."""
        now = self._scheduler.now()
        limit, unreported = self._limit, self._unreported
        here = unreported.deficit(name, now) / unreported.interval * limit.interval
        limit.raise_deficit(name, now, spent.deficit + here)

    def _keep(self, name: Any, tokens: float) -> None:
        """Report something later: the directory is away."""
        now = self._scheduler.now()
        seconds = self._kept.deficit(name, now) + tokens * self._limit.interval
        self._kept.raise_deficit(name, now, min(seconds, self._limit.capacity))
