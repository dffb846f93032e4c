"""The methods of protoo, as Python methods of the same names, written out to be searchable."""

from __future__ import annotations

from typing import Any, overload

from ..functions import Decorator, F
from .matching.patterns import PathPattern
from .registration import Registered

#: The methods with a decorator here; any other one works through ``method(name, ...)``.
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


class MethodDecorators:
    """One method for each method of protoo: ``message(...)`` is ``method("message", ...)``.

    Each works as a call with functions or, without functions, as a decorator::

        protoo.message("/users/:username", check, deliver)

        @protoo.message("/users/:username")
        def deliver(req, next): ...

        @protoo.message
        def deliver_all(req, next): ...
    """

    @overload
    def method(self, name: str, path: PathPattern = ..., /) -> Decorator: ...

    @overload
    def method(self, name: str, function: F, /) -> F: ...

    @overload
    def method(self, name: str, *args: Registered) -> Any: ...

    def method(self, name: str, *args: Any) -> Any:
        """Handle requests of the method ``name``, which may be any string."""
        raise NotImplementedError

    @overload
    def message(self, path: PathPattern = ..., /) -> Decorator: ...

    @overload
    def message(self, function: F, /) -> F: ...

    @overload
    def message(self, *args: Registered) -> Any: ...

    def message(self, *args: Any) -> Any:
        """Handle ``message``: instant messages."""
        return self.method("message", *args)

    @overload
    def put(self, path: PathPattern = ..., /) -> Decorator: ...

    @overload
    def put(self, function: F, /) -> F: ...

    @overload
    def put(self, *args: Registered) -> Any: ...

    def put(self, *args: Any) -> Any:
        """Handle ``put``."""
        return self.method("put", *args)

    @overload
    def get(self, path: PathPattern = ..., /) -> Decorator: ...

    @overload
    def get(self, function: F, /) -> F: ...

    @overload
    def get(self, *args: Registered) -> Any: ...

    def get(self, *args: Any) -> Any:
        """Handle ``get``."""
        return self.method("get", *args)

    @overload
    def session(self, path: PathPattern = ..., /) -> Decorator: ...

    @overload
    def session(self, function: F, /) -> F: ...

    @overload
    def session(self, *args: Registered) -> Any: ...

    def session(self, *args: Any) -> Any:
        """Handle ``session``: the start of a call, or of being in a room."""
        return self.method("session", *args)

    @overload
    def icecandidate(self, path: PathPattern = ..., /) -> Decorator: ...

    @overload
    def icecandidate(self, function: F, /) -> F: ...

    @overload
    def icecandidate(self, *args: Registered) -> Any: ...

    def icecandidate(self, *args: Any) -> Any:
        """Handle ``icecandidate``: trickled ICE candidates (RFC 8838) inside a call."""
        return self.method("icecandidate", *args)

    @overload
    def update(self, path: PathPattern = ..., /) -> Decorator: ...

    @overload
    def update(self, function: F, /) -> F: ...

    @overload
    def update(self, *args: Registered) -> Any: ...

    def update(self, *args: Any) -> Any:
        """Handle ``update``: a new offer inside a call."""
        return self.method("update", *args)

    @overload
    def hold(self, path: PathPattern = ..., /) -> Decorator: ...

    @overload
    def hold(self, function: F, /) -> F: ...

    @overload
    def hold(self, *args: Registered) -> Any: ...

    def hold(self, *args: Any) -> Any:
        """Handle ``hold``."""
        return self.method("hold", *args)

    @overload
    def unhold(self, path: PathPattern = ..., /) -> Decorator: ...

    @overload
    def unhold(self, function: F, /) -> F: ...

    @overload
    def unhold(self, *args: Registered) -> Any: ...

    def unhold(self, *args: Any) -> Any:
        """Handle ``unhold``."""
        return self.method("unhold", *args)

    @overload
    def end(self, path: PathPattern = ..., /) -> Decorator: ...

    @overload
    def end(self, function: F, /) -> F: ...

    @overload
    def end(self, *args: Registered) -> Any: ...

    def end(self, *args: Any) -> Any:
        """Handle ``end``: the end of a call."""
        return self.method("end", *args)
