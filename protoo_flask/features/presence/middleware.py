"""Presence: tells peers which users are online, where the application allows it."""

from __future__ import annotations

import time
from typing import Callable

from ...core.routing.router import Router
from ...extension import Protoo
from ..limits import check_limit
from ..permission import Allow, Permission
from .handlers import PresenceHandlers

#: Users that one peer may watch. A list of contacts is shorter. The limit bounds the memory
#: that an untrusted client can use up (usernames have up to 4096 characters).
MAX_SUBSCRIPTIONS = 1000


def presence(
    protoo: Protoo,
    allow: Allow,
    *,
    max_subscriptions: int = MAX_SUBSCRIPTIONS,
    now: Callable[[], float] = time.time,
) -> Router:
    """Return a router that tells peers which users are online, and their published status.

    ::

        def may_watch(peer, username):
            return username in friends_of(peer.username)

        protoo.use("/presence", presence(protoo, may_watch))

    ==============================  ====================================================
    ``subscribe`` to ``/bob``       200 with Bob's state as data; then a notification
                                    ``presence`` with his new state at every change
    ``unsubscribe`` to ``/bob``     200, also when not subscribed
    ``publish`` to ``/``            sets one's own ``status`` and ``note`` while online;
                                    200 with the new state
    ==============================  ====================================================

    The state is ``{"username", "online", "devices", "status", "note", "since"}``; see
    :class:`~protoo_flask.features.presence.states.State`.

    :param allow: ``fn(peer, username)``; returns whether the peer may watch that user, or
        raises :class:`~protoo_flask.Reject`. It is called at every ``subscribe``: a refusal
        (403) also ends a subscription that was allowed before. The username is untrusted,
        and the user need not exist.
    :param max_subscriptions: how many users a peer may watch.
    :param now: returns the time in seconds since the epoch.
    :raises UsageError: when ``allow`` is not such a function, or the limit not an integer
        of at least 1.
    """
    permission = Permission("presence(protoo, allow)", "watch", allow)
    check_limit(
        max_subscriptions,
        "presence(max_subscriptions=...) takes the number of users that a peer may watch",
    )
    handlers = PresenceHandlers(permission, max_subscriptions, now)
    handlers.service = protoo.add_service("presence", handlers)
    protoo.on("online", handlers.note_online)
    protoo.on("offline", handlers.note_offline)
    router = Router()
    router.method("subscribe", "/:username", handlers.subscribe)
    router.method("unsubscribe", "/:username", handlers.unsubscribe)
    router.method("publish", "/", handlers.publish)
    return router
