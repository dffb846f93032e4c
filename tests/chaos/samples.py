"""What the metrics of the site say, beside what the load and the floods know for sure."""

from __future__ import annotations

import time
from typing import Any, Iterable, Mapping, Sequence

import gevent

from .plan import FLOOD_SECONDS
from .site import BURST, RATE

#: Of these, nothing is left when everybody has gone.
IDLE = (
    *("protoo_peers", "protoo_users", "protoo_requests_open", "protoo_transactions_open"),
    *("protoo_outbox_bytes", "protoo_mailbox_bytes", "protoo_calls", "protoo_rooms"),
)

#: Faults after which the counters of a server begin anew.
ENDS = {"kill", "term", "hup"}

#: Seconds for the last connections to be over.
SETTLING = 10.0

#: A flood that has sent so many times as many requests as it may has met the limit, whatever the
#: server has left unread.
PLENTY = 4


class Samples:
    """The metrics of all servers of a cell.

    :param samples: ``[name, labels, value]``
    """

    def __init__(self, samples: Iterable[Sequence[Any]]) -> None:
        self._samples = list(samples)

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of all with that name and these labels."""
        return sum(
            value
            for found, its_labels, value in self._samples
            if found == name and labels.items() <= its_labels.items()
        )


def read_samples(servers: Iterable[Any]) -> Samples:
    return Samples(sample for server in servers for sample in server.get("/samples"))


def check_idle(samples: Samples) -> list[str]:
    """Return what the metrics say that is left when everybody has gone."""
    faults = [
        f"{name} is {samples.total(name):g} in the end" for name in IDLE if samples.total(name)
    ]
    opened = samples.total("protoo_connections_opened_total")
    closed = samples.total("protoo_connections_closed_total")
    if not opened or opened != closed:
        faults.append(f"{opened:g} connections were opened, and {closed:g} closed")
    return faults


def check_counters(
    samples: Samples, acknowledged: int, floods: Mapping[str, int], faults: Iterable[str]
) -> list[str]:
    """Return which counters are too small; nothing where a server has ended meanwhile.

    :param acknowledged: messages of the pairs.
    :param floods: ``{flood: messages that were sent}``
    :param faults: names of those that were done.
    """
    if ENDS.intersection(faults):
        return []
    found = []
    answered = samples.total("protoo_requests_total", method="message", status="200")
    if answered < acknowledged:
        found.append(f"{answered:g} messages were answered 200, and {acknowledged} acknowledged")
    allowed = BURST + RATE * FLOOD_SECONDS
    refused = samples.total("protoo_refusals_total", limit="rate_of_peer")
    if floods.get("requests", 0) > PLENTY * allowed and not refused:
        found.append("no request of a flood was refused")
    return found


def check_samples(
    servers: Iterable[Any], acknowledged: int, floods: Mapping[str, int], faults: Iterable[str]
) -> list[str]:
    """Ask all servers for their metrics, until nothing is left of the clients; see above."""
    deadline = time.monotonic() + SETTLING
    while True:
        samples = read_samples(servers)
        found = check_idle(samples)
        if not found or time.monotonic() > deadline:
            return found + check_counters(samples, acknowledged, floods, faults)
        gevent.sleep(0.5)
