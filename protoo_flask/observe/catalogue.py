"""The catalogue of metrics: names, types, labels and meanings.

docs/observability.md has the same table, and a test compares them.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"

#: How the values of a gauge of several workers become one.
Mode = Literal["livesum", "livemax"]
SUM: Mode = "livesum"
MAX: Mode = "livemax"


class Metric(NamedTuple):
    """One metric.

    :ivar name: as Prometheus shows it; a counter ends with ``_total``.
    :ivar meaning: for the help text: one line.
    :ivar mode: of a gauge, with several workers.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str
    mode: Mode = SUM


METRICS = (
    Metric("protoo_peers", GAUGE, ("state",), "Devices: connected, or away in their grace period"),
    Metric("protoo_users", GAUGE, (), "Users with a device; in a cluster, counted at one worker"),
    Metric("protoo_handshakes_refused_total", COUNTER, ("status",), "Handshakes that were refused"),
    Metric("protoo_connections_opened_total", COUNTER, (), "Connections that were opened"),
    Metric("protoo_connections_closed_total", COUNTER, ("code",), "Connections that have closed"),
    Metric(
        "protoo_requests_total", COUNTER, ("method", "status"), "Requests with a final response"
    ),
    Metric(
        "protoo_request_duration_seconds",
        HISTOGRAM,
        ("method",),
        "Time from the admission of a request to its final response",
    ),
    Metric("protoo_requests_open", GAUGE, (), "Requests of clients that are not answered yet"),
    Metric("protoo_notifications_total", COUNTER, ("method",), "Notifications of clients"),
    Metric(
        "protoo_transactions_total", COUNTER, ("status",), "Requests to clients that have ended"
    ),
    Metric("protoo_transactions_open", GAUGE, (), "Requests to clients that are not answered yet"),
    Metric("protoo_received_messages_total", COUNTER, (), "Messages of clients"),
    Metric("protoo_received_bytes_total", COUNTER, (), "Bytes of messages of clients"),
    Metric("protoo_sent_messages_total", COUNTER, (), "Messages to clients"),
    Metric("protoo_sent_bytes_total", COUNTER, (), "Bytes of messages to clients"),
    Metric("protoo_outbox_bytes", GAUGE, (), "Bytes that wait for clients which read slowly"),
    Metric("protoo_mailbox_bytes", GAUGE, (), "Bytes that wait for peers in their grace period"),
    Metric("protoo_violations_total", COUNTER, (), "Messages that broke the wire format"),
    Metric("protoo_refusals_total", COUNTER, ("limit",), "Refusals because of a limit"),
    Metric("protoo_errors_total", COUNTER, ("source",), "Errors of the site's own code"),
    Metric("protoo_calls", GAUGE, (), "Calls that ring or go on"),
    Metric("protoo_rooms", GAUGE, (), "Rooms with members"),
    Metric("protoo_cluster_workers", GAUGE, ("status",), "Workers by their view of the cluster"),
    Metric("protoo_cluster_nodes", GAUGE, (), "Nodes of the cluster that are alive", MAX),
    Metric("protoo_cluster_frames_sent_total", COUNTER, (), "Frames to other nodes"),
    Metric("protoo_cluster_frames_received_total", COUNTER, (), "Frames of other nodes"),
    Metric("protoo_cluster_gaps_total", COUNTER, (), "Times that frames of a node were missing"),
)

#: By name.
CATALOGUE = {metric.name: metric for metric in METRICS}

#: Upper bounds of the buckets of the histogram: seconds.
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
