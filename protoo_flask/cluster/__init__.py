"""The cluster on Redis (or Valkey): implements ``core.cluster.protocol``."""

from __future__ import annotations

import logging

from ..core.cluster.protocol import Cluster
from ..core.errors import UsageError
from ..transport.channel import Loop
from ..transport.threads.loop import ThreadLoop

logger = logging.getLogger(__name__)


def make_cluster(
    url: str,
    key: str | bytes | None = None,
    prefix: str = "protoo",
    node_timeout: float = 10.0,
    loop: Loop | None = None,
    logger: logging.Logger = logger,
) -> Cluster:
    """Return a cluster that has not been started. Connects to nothing.

    :param url: of Redis; ``opening`` lists the forms.
    :param key: a secret that is the same in all processes; ``None``: every program that may publish
        in Redis may send frames.
    :param prefix: of keys and channels in Redis: sites with different ones know nothing of each
        other.
    :param node_timeout: seconds after which a process that is silent is taken for dead.
    :param loop: of the world in which the host lives; ``None``: threads.
    :raises UsageError: for arguments that cannot work, or when redis or hiredis is not installed.
    """
    try:
        from .opening import RedisAddress
        from .redis_cluster import RedisCluster
    except ImportError as error:
        raise UsageError(
            f"PROTOO_CLUSTER_URL needs two packages: pip install protoo_flask[redis] ({error})"
        ) from error
    try:
        return RedisCluster(
            RedisAddress(url), prefix, key or "", node_timeout, loop or ThreadLoop(), logger
        )
    except ValueError as error:
        raise UsageError(str(error)) from error
