"""Checks of the server: the class and number of its workers, its limits, its restarts."""

from __future__ import annotations

import math
from typing import Iterator

from ..transport.descriptors import RESERVE, find_limit
from .findings import Finding
from .subject import Subject

#: Seconds: gunicorn's worker notices a signal after a second, and the end of a drain after another.
EXIT_TIME = 3

_WORKER_CLASS = 'Set worker_class = "gevent" (--worker-class gevent)'

#: Why a worker of this kind cannot serve connections.
_UNFIT = {
    "sync": "it handles one request at a time, so the first connection would block the site",
    "gthread": "it has a few threads for all requests, and each connection would keep one of them",
    "eventlet": "it has greenlets of another kind",
    "gevent-websocket": "it answers the handshake itself, and without a sub-protocol",
}


def check_server(subject: Subject) -> Iterator[Finding]:
    """Tell when nothing is known of the server."""
    if subject.gunicorn is None:
        yield Finding(
            "server-unknown",
            "no configuration of gunicorn was found here, so the worker class, the number of "
            "workers and time-outs were not looked at",
            "Run this command where gunicorn starts, or name the file with --gunicorn-config, or "
            'put its options into GUNICORN_CMD_ARGS="-k gevent -w 1". With another server, read '
            "the page",
        )


def check_worker_class(subject: Subject) -> Iterator[Finding]:
    """Find worker classes under which each handshake is answered 500."""
    gunicorn = subject.gunicorn
    if gunicorn is None or gunicorn.kind == "gevent":
        return
    if gunicorn.problem:
        problem = (
            f"gunicorn cannot load its worker class {gunicorn.worker_class!r}: {gunicorn.problem}"
        )
        remedy = f'{_WORKER_CLASS}, and install it: pip install "gunicorn[gevent]"'
    else:
        reason = _UNFIT.get(gunicorn.kind, "only gevent's worker gives its sockets away")
        threads = " (threads is more than 1)" if gunicorn.kind == "gthread" else ""
        problem = (
            f"gunicorn's worker class is {gunicorn.worker_class!r}{threads}: {reason}. "
            "Handshakes are answered 500"
        )
        remedy = _WORKER_CLASS
    yield Finding("worker-class", problem, remedy)


def check_workers(subject: Subject) -> Iterator[Finding]:
    """Find several workers that do not know each other's peers."""
    if subject.workers > 1 and subject.settings.cluster_url is None:
        yield Finding(
            "workers-without-cluster",
            f"{subject.workers} workers serve this site, and PROTOO_CLUSTER_URL is not set: each "
            "sees only its own peers, so messages to others are answered 404, by chance",
            'Set PROTOO_CLUSTER_URL = "redis://localhost:6379/0", or start one worker '
            "(workers = 1, WEB_CONCURRENCY=1)",
        )


def check_preload(subject: Subject) -> Iterator[Finding]:
    """Find an app that is imported before gevent patches the standard library."""
    gunicorn = subject.gunicorn
    if gunicorn is None or gunicorn.kind != "gevent":
        return
    if gunicorn.preload_app and not gunicorn.is_patched:
        yield Finding(
            "preload-unpatched",
            "preload_app imports the app before gunicorn's gevent worker patches the standard "
            "library: modules that have taken a socket, a lock or ssl by then block all clients, "
            "or fail",
            "Begin gunicorn.conf.py with: from gevent import monkey; monkey.patch_all(). Or leave "
            "preload_app out",
        )


def check_tls(subject: Subject) -> Iterator[Finding]:
    """Find TLS that ends in gunicorn, where a connection cannot leave its server."""
    gunicorn = subject.gunicorn
    if gunicorn is None or gunicorn.kind != "gevent" or not gunicorn.certfile:
        return
    problem = (
        "gunicorn ends TLS itself (certfile): each connection takes some 35 KiB, and counts "
        f"against worker_connections ({gunicorn.worker_connections})"
    )
    share = _share(subject)
    if share is not None and share >= gunicorn.worker_connections:
        problem += f", of which {share} peers of one worker are too many"
    yield Finding("tls-in-process", problem, "Let a proxy end TLS, and raise worker_connections")


def check_descriptors(subject: Subject) -> Iterator[Finding]:
    """Compare the expected peers with the limit of descriptors."""
    share, limit = _share(subject), find_limit()
    if share is None:
        return
    needed = share + max(RESERVE, share // 7)  # docs/limits.md: at most an eighth is reserved
    if limit < needed:
        yield Finding(
            "descriptors",
            f"this shell allows a process {limit} file descriptors (ulimit -n), and a worker with "
            f"{share} peers needs {needed} or more: handshakes beyond are answered 503",
            f"Set LimitNOFILE={_round_up(needed)} in the unit of systemd, or ulimit -n in the "
            "script that starts the server. Another shell than this one may have another limit",
        )


def check_restarts(subject: Subject) -> Iterator[Finding]:
    """Find times that make a restart slow, or cut it short."""
    gunicorn = subject.gunicorn
    if gunicorn is None:
        return
    if gunicorn.keepalive >= gunicorn.graceful_timeout:
        yield Finding(
            "keepalive-delays-restart",
            f"keepalive ({gunicorn.keepalive:g} s) is not shorter than graceful_timeout "
            f"({gunicorn.graceful_timeout:g} s): idle HTTP connections of browsers keep a worker "
            "that should end until it is killed",
            "Set keepalive = 2, or a longer graceful_timeout",
        )
    drain = subject.settings.drain_timeout
    if drain and gunicorn.graceful_timeout < drain + EXIT_TIME:
        yield Finding(
            "drain-cut-off",
            f"gunicorn ends a worker after its graceful_timeout ({gunicorn.graceful_timeout:g} s), "
            f"and needs {EXIT_TIME} seconds besides the PROTOO_DRAIN_TIMEOUT of {drain:g}: the "
            "drain is cut off",
            f"Set graceful_timeout = {math.ceil(drain) + EXIT_TIME} or more, or a shorter "
            "PROTOO_DRAIN_TIMEOUT",
        )


def _share(subject: Subject) -> int | None:
    """Return the peers of one worker, if they were spread evenly."""
    return None if subject.peers is None else math.ceil(subject.peers / subject.workers)


def _round_up(number: int) -> int:
    """Return a power of two with room to spare."""
    return int(2 ** math.ceil(math.log2(2 * number)))
