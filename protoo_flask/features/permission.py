"""Permission: the site decides which users a peer may watch, write to or call."""

from __future__ import annotations

from typing import Any, Callable

from ..core.errors import Reject, UsageError
from ..core.functions import check_function
from ..core.names import check_length
from ..core.peers.peer import Peer

Allow = Callable[[Peer, str], Any]

#: An ``allow`` that permits everything, for the errors about wrong ones.
EVERYBODY = "lambda peer, username: True"


class Permission:
    """The permission of a site to reach its users in one way.

    :param option: the option that ``allow`` was given as, for errors.
    :param verb: the way: ``"watch"``, ``"write to"``, ``"call"``.
    :param allow: ``fn(peer, username)``; returns whether the peer may reach that user, or
        raises :class:`~protoo_flask.Reject`. It may block. The username is untrusted, and
        the user need not exist.
    :param everybody: the value of the option that lets every peer reach every user.
    :raises UsageError: when ``allow`` is not such a function.
    """

    def __init__(self, option: str, verb: str, allow: Any, everybody: str = EVERYBODY) -> None:
        if not callable(allow):
            raise UsageError(
                f"{option} takes a function allow(peer, username) that returns whether "
                f"the peer may {verb} that user: {everybody} lets everybody {verb} "
                f"everybody; got {allow!r}"
            )
        self._allow: Allow = check_function(allow, "fn(peer, username)")
        self._verb = verb

    def demand(self, peer: Peer, username: str) -> None:
        """Return when the peer may reach the user.

        Nothing that depends on the user may happen before, so that a refused peer does not
        learn whether the user exists, or is online.

        :raises Reject: 403, or as ``allow`` has raised it; as any other error of ``allow``. 414
            for a username that is too long; ``allow`` is not asked then.
        """
        check_length(username, "a username")
        if not self._allow(peer, username):
            raise Reject(403, f"you may not {self._verb} this user")
