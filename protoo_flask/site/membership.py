"""The membership: the site of this process as a node of its cluster.

Nothing of a cluster is imported, or asked for, without ``PROTOO_CLUSTER_URL``. With it, the site
joins when its application is made: at the first handshake of a worker, or when code of the site
first asks for peers, in a view, a job or a shell. A process that serves no clients is a node
without peers.

The membership ends with the site, at the exit of the process, and in a forked child, which
becomes a node of its own as soon as it needs one.
"""

from __future__ import annotations

import contextlib
import logging
from functools import partial
from typing import Any, Callable, Protocol

from flask import Flask

from ..core.cluster.protocol import Cluster
from ..core.events import EventQueues
from ..core.peers.homes import HomeService
from ..core.remote.cluster_directory import ClusterDirectory
from ..core.runtime import Runtime
from ..settings import Settings
from ..transport.channel import Loop
from .contexts import HandshakeContext
from .remote_contexts import describe_context, restore_context

#: ``make(settings, loop, logger)``.
MakeCluster = Callable[[Settings, Loop, logging.Logger], Cluster]

#: Seconds that a caller waits for another one, which has the site join just now.
PATIENCE = 3.0


class Registrations(Protocol):
    """The registrations of a site, as far as other nodes ask for them.

    :ivar services: the middleware that have calls or rooms, by their names.
    """

    services: dict[str, HomeService]


class Membership:
    """One node: made with the application of a site, and of no use after :meth:`leave`.

    :param registrations: the Protoo of the site; it becomes ``req.app``.
    :param context_class: keeps the handshakes.
    :ivar cluster: from this node.
    """

    def __init__(
        self,
        app: Flask,
        settings: Settings,
        loop: Loop,
        make_cluster: MakeCluster | None,
        registrations: Registrations,
        context_class: type[HandshakeContext],
    ) -> None:
        self._restore_context = partial(restore_context, app, context_class)
        self._registrations = registrations
        self.cluster = (make_cluster or _make_redis_cluster)(settings, loop, app.logger)
        self._directory: ClusterDirectory | None = None
        self._joined = loop.event()
        #: The first one to take an item joins, or leaves: one step, also for threads.
        self._to_join, self._to_leave = [None], [None]

    def make_directory(self, runtime: Runtime, events: EventQueues) -> ClusterDirectory:
        """Return the directory of the application; see :class:`.core.application.Application`."""
        self._directory = ClusterDirectory(
            runtime,
            events,
            self.cluster,
            describe_context=describe_context,
            restore_context=self._restore_context,
            services=self._registrations.services,
            owner=self._registrations,
        )
        return self._directory

    @property
    def has_joined(self) -> bool:
        """Whether :meth:`join` is done, also if the cluster could not be reached."""
        return self._joined.is_set()

    def join(self) -> None:
        """Join the cluster, or wait until another caller has. Blocks for seconds at most."""
        try:
            self._to_join.pop()
        except IndexError:
            self._joined.wait(PATIENCE)
            return
        try:
            assert self._directory is not None
            self._directory.start()
            if not self._to_leave:
                # The site was closed meanwhile, and has left too early.
                self._directory.close()
        finally:
            self._joined.set()

    def leave(self) -> None:
        """Leave the cluster, once. Blocks for seconds at most, without a lock."""
        with contextlib.suppress(IndexError):
            self._to_leave.pop()
            assert self._directory is not None
            self._directory.close()


def _make_redis_cluster(settings: Settings, loop: Any, logger: logging.Logger) -> Cluster:
    from ..cluster import make_cluster  # it imports redis

    assert settings.cluster_url is not None
    return make_cluster(
        settings.cluster_url,
        settings.cluster_key,
        settings.cluster_prefix,
        settings.node_timeout,
        loop,
        logger,
    )
