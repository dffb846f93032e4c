"""Checks of the Redis of a cluster: it is asked, as a worker would ask it."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any, Iterator
from urllib.parse import urlsplit

from ..core.cluster.protocol import ClusterAway
from ..transport.server_worlds import guess_loop
from .findings import Finding
from .subject import Subject

if TYPE_CHECKING:
    # Without a cluster, redis may be missing.
    from ..cluster.connection import RedisConnection

#: Seconds for each answer of Redis.
PATIENCE = 3.0

#: Keys that are looked at, to see whether others use the database as well.
SAMPLE = 1000

_LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1", "")


def check_address(subject: Subject) -> Iterator[Finding]:
    """Find a Redis on another host without a password, or without TLS."""
    url = subject.settings.cluster_url
    if url is None or _is_local(url):
        return
    parts = urlsplit(url)
    if "@" not in parts.netloc and "password=" not in parts.query:
        yield Finding(
            "redis-without-password",
            "PROTOO_CLUSTER_URL leads to another host and has no password: who reaches that Redis "
            "writes to every peer in the name of every user",
            "Give Redis a user for the site (ACL SETUSER), and write redis://user:password@host",
        )
    if not parts.scheme.startswith("rediss"):
        yield Finding(
            "redis-without-tls",
            "PROTOO_CLUSTER_URL leads to another host without TLS: who listens in that network "
            "reads all messages between workers, and cookies of handshakes",
            "Write rediss://, or use a network that carries nothing else and is encrypted",
        )


def _is_local(url: str) -> bool:
    if url.startswith("unix:"):
        return True
    hosts = urlsplit(url).netloc.rpartition("@")[2].split(",")
    return all(re.sub(r":\d+$", "", host).strip("[]") in _LOCAL_HOSTS for host in hosts)


def check_redis(subject: Subject) -> Iterator[Finding]:
    """Connect, and find what Redis lacks."""
    settings = subject.settings
    if settings.cluster_url is None:
        return
    from ..cluster.opening import CannotOpen, RedisAddress, open_connection
    from ..core.errors import UsageError

    loop = guess_loop(None)
    try:
        address = RedisAddress(settings.cluster_url)
        connection = open_connection(address, loop, _ignore, _ignore)
    except (CannotOpen, UsageError) as error:
        yield Finding(
            "redis-unusable",
            f"the cluster cannot be used: {error}",
            "Workers that start go on with their own peers only, until Redis can be used. Start "
            "it, or correct PROTOO_CLUSTER_URL",
        )
        return
    with contextlib.closing(connection):
        yield from _check_rights(subject, address, connection, loop)
        yield from _check_eviction(connection)
        if settings.cluster_key is None:
            yield from _check_neighbours(subject, connection)


def _check_rights(
    subject: Subject, address: Any, connection: RedisConnection, loop: Any
) -> Iterator[Finding]:
    from ..cluster.server_check import ServerCheck

    prefix = subject.settings.cluster_prefix
    check = ServerCheck(
        address, prefix, loop, lambda function, *args: function(*args), subject.app.logger
    )
    try:
        check.check_rights(connection, PATIENCE)
    except ClusterAway as error:
        yield Finding("redis-rights", str(error), "Give the user of Redis the rights of the page")


def _check_eviction(connection: RedisConnection) -> Iterator[Finding]:
    from ..cluster.server_check import find_policy

    policy = find_policy(_ask(connection, "INFO", "memory"))
    if policy != "noeviction":
        yield Finding(
            "redis-evicts",
            f"Redis throws keys away when it is full (maxmemory-policy {policy}): users would seem "
            "to be offline who are not",
            "Set maxmemory-policy noeviction, or use a Redis of its own",
        )


def _check_neighbours(subject: Subject, connection: RedisConnection) -> Iterator[Finding]:
    """Find others who can write to this Redis: by keys that are not ours."""
    if not _has_foreign_keys(subject, connection):
        return
    yield Finding(
        "redis-shared",
        "other programs use this Redis, too, and PROTOO_CLUSTER_KEY is not set: each of them can "
        "write to every peer in the name of every user",
        "Set PROTOO_CLUSTER_KEY (openssl rand -hex 32), the same in all workers, and give the site "
        "a user of Redis with rights to its own keys and channels",
    )


def _has_foreign_keys(subject: Subject, connection: RedisConnection) -> bool:
    ours = f"{subject.settings.cluster_prefix}:".encode()
    scanned = _ask(connection, "SCAN", 0, "COUNT", SAMPLE)
    if isinstance(scanned, list) and any(not key.startswith(ours) for key in scanned[1]):
        return True
    about = _ask(connection, "INFO", "keyspace")
    text = about.decode("ascii", "replace") if isinstance(about, bytes) else ""
    # The databases with keys; ours may be one of them.
    databases = len(re.findall(r"^db\d+:", text, re.MULTILINE))
    has_keys = bool(_ask(connection, "DBSIZE") or 0)
    return databases > int(has_keys)


def _ask(connection: RedisConnection, *command: str | int) -> Any:
    """Return the reply; ``None`` if this user of Redis may not ask that."""
    from ..cluster.connection import ConnectionLost, RedisError

    try:
        return connection.call(*command, timeout=PATIENCE)
    except (RedisError, ConnectionLost):
        return None


def _ignore(*args: Any) -> None:
    """Take a push message, or the end of the connection."""
