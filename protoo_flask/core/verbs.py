"""The methods of protoo as Python methods, written out so that they can be searched."""

from __future__ import annotations

from typing import Any

#: The methods that have a name here; any other works through ``method(name, ...)``.
METHODS = (
    "message",
    "put",
    "get",
    "session",
    "icecandidate",
    "update",
    "hold",
    "unhold",
    "end",
)


class Verbs:
    """``message("/path", fn)`` for ``method("message", "/path", fn)``, and so on.

    Every one is a call with functions, or without functions a decorator::

        protoo.message("/users/:username", check, deliver)

        @protoo.message("/users/:username")
        def deliver(req, next): ...

        @protoo.message
        def deliver_all(req, next): ...
    """

    def method(self, name: str, *args: Any) -> Any:
        """Handle requests of the method ``name``, which may be any string."""
        raise NotImplementedError

    def message(self, *args: Any) -> Any:
        """Handle ``message``: instant messages."""
        return self.method("message", *args)

    def put(self, *args: Any) -> Any:
        """Handle ``put``."""
        return self.method("put", *args)

    def get(self, *args: Any) -> Any:
        """Handle ``get``."""
        return self.method("get", *args)

    def session(self, *args: Any) -> Any:
        """Handle ``session``: the start of a call, or of being in a room."""
        return self.method("session", *args)

    def icecandidate(self, *args: Any) -> Any:
        """Handle ``icecandidate``: trickled ICE candidates (RFC 8838) inside a call."""
        return self.method("icecandidate", *args)

    def update(self, *args: Any) -> Any:
        """Handle ``update``: a new offer inside a call."""
        return self.method("update", *args)

    def hold(self, *args: Any) -> Any:
        """Handle ``hold``."""
        return self.method("hold", *args)

    def unhold(self, *args: Any) -> Any:
        """Handle ``unhold``."""
        return self.method("unhold", *args)

    def end(self, *args: Any) -> Any:
        """Handle ``end``: the end of a call."""
        return self.method("end", *args)
