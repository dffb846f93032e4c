"""The check of a Redis that was just connected to: may this process do all that it needs?

A right that is missing would be noticed late otherwise, and in the middle of something. A Redis
that throws keys away is only told to the log: it may never be full.
"""

from __future__ import annotations

import logging
import re
from typing import Any, Callable

from ..core.cluster.protocol import ClusterAway
from ..core.excerpts import excerpt
from ..transport.channel import Loop
from .connection import RedisConnection, RedisError, pack
from .opening import RedisAddress

#: Those that the classes @admin and @dangerous have taken away; before Redis 7, these have all of
#: CLIENT.
RIGHTS = "+info +client|tracking +client|reply"


class ServerCheck:
    """Asks Redis what it lets this process do.

    :param prefix: of the keys and channels.
    :param run: ``run(function, *args)``: calls a function in the thread of the connections.
    """

    def __init__(
        self,
        address: RedisAddress,
        prefix: str,
        loop: Loop,
        run: Callable[..., None],
        logger: logging.Logger,
    ) -> None:
        self._address = address
        self._prefix = prefix
        self._loop = loop
        self._run = run
        self._logger = logger

    def check_rights(self, writer: RedisConnection, seconds: float) -> None:
        """Find out whether Redis refuses something that is needed later. Blocks.

        :param seconds: until Redis has to have replied.
        :raises ClusterAway: with the rights that are missing.
        """
        key = f"{self._prefix}:check"
        script = "return redis.call('SET', KEYS[1], '1', 'PX', '1')"
        commands = [
            pack("EVAL", script, 1, key),
            pack("HGETALL", f"{self._prefix}:check-of-hash"),
            pack("PUBLISH", f"{self._prefix}:n:check", ""),
            pack("CLIENT", "REPLY", "ON"),
            # Otherwise cached lookups would never be dropped.
            pack("CLIENT", "TRACKING", "OFF"),
        ]
        replies: list[Any] = []
        done = self._loop.event()

        def take(reply: Any) -> None:
            replies.append(reply)
            if len(replies) == len(commands):
                done.set()

        def ask() -> None:
            for command in commands:
                writer.ask_packed(take, command)

        self._run(ask)
        if not done.wait(seconds):
            raise ClusterAway(f"Redis has not replied for {seconds:g} seconds")
        for reply in replies:
            if isinstance(reply, RedisError) and "NOPERM" in str(reply):
                raise ClusterAway(
                    f"user {excerpt(self._address.username)} of Redis at {self._address.name} "
                    f"lacks a right ({excerpt(str(reply))}). It needs: {self._get_rule()}"
                )

    def _get_rule(self) -> str:
        return (
            f"ACL SETUSER {excerpt(self._address.username)} on ~{self._prefix}:* "
            f"&{self._prefix}:* +@all -@admin -@dangerous {RIGHTS}"
        )

    def check_eviction(self, writer: RedisConnection) -> None:
        """Tell the log if Redis throws keys away when it is full."""

        def take(reply: Any) -> None:
            policy = find_policy(reply)
            if policy != "noeviction":
                self._logger.warning(
                    "Redis at %s throws keys away when it is full (maxmemory-policy %s): users "
                    "would seem to be offline who are not. Set maxmemory-policy to noeviction",
                    self._address.name,
                    policy,
                )

        writer.ask(take, b"INFO", b"memory")


def find_policy(reply: Any) -> str:
    """Return the ``maxmemory-policy`` in a reply to ``INFO memory``."""
    # An error says that this process may not know.
    text = reply.decode("ascii", "replace") if isinstance(reply, bytes) else str(reply)
    found = re.search(r"maxmemory_policy:([\w-]+)", text)
    return found[1] if found else "noeviction"
