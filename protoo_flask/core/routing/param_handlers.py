"""The param() handlers of a router: they run before the layers with a parameter."""

from __future__ import annotations

from typing import Any, Dict, List

from ..request import Request
from .layer import Layer
from .position import Position
from .registration import Next, ParamHandler
from .returned_values import check_returned


class SeenParam:
    """A parameter that its handlers have seen already; they run once for each value.

    :ivar result: the value that the handlers have left in ``req.params``.
    :ivar error: the error that they gave to ``next()``, or ``None``.
    """

    __slots__ = ("error", "result", "value")

    def __init__(self, value: str) -> None:
        self.value = self.result = value
        self.error: Any = None


#: The parameters of one request that handlers of one router have seen, by name.
Seen = Dict[object, SeenParam]


class ParamHandlers(Dict[object, List[ParamHandler]]):
    """``{name of a parameter: its handlers}``."""

    def add(self, name: str, function: ParamHandler) -> None:
        """Append a handler."""
        self.setdefault(name, []).append(function)

    def pairs(self) -> list[tuple[str, ParamHandler]]:
        """Return the names and handlers, in order."""
        return [(str(name), function) for name, functions in self.items() for function in functions]

    def run(self, layer: Layer, matched: str, req: Request, seen: Seen, next: Next) -> None:
        """Call the handlers of the layer's parameters, then the layer."""
        keys = layer.matcher.keys if layer.matcher is not None else ()
        waiting = [key for key in dict.fromkeys(keys) if key in self]
        if not waiting:
            layer.run(matched, None, req, next)
            return
        position = Position(req)

        def next_param(error: Any = None) -> None:
            with position.restored(req):
                try:
                    if error is not None or req.ended:
                        next(error)
                    elif waiting:
                        self._check(waiting.pop(0), req, seen, next_param)
                    else:
                        layer.run(matched, None, req, next)
                except RecursionError:
                    raise
                except Exception as exc:
                    next(exc)

        next_param()

    def _check(self, key: str | int, req: Request, seen: Seen, next: Next) -> None:
        """Call the handlers of one parameter, or repeat their result for the same value."""
        if key not in req.params:
            next()
            return
        value = req.params[key]
        known = seen.get(key)
        if known is not None and known.value == value:
            # A value refused in a layer above is refused in this one, too.
            req.params[key] = known.result
            next(known.error)
            return
        param = seen[key] = SeenParam(value)
        waiting = list(self[key])
        position = Position(req)

        def next_handler(error: Any = None) -> None:
            with position.restored(req):
                param.error, param.result = error, req.params[key]
                if error is not None or req.ended or not waiting:
                    next(error)
                    return
                try:
                    function = waiting.pop(0)
                    req.last_handler = function
                    returned = function(req, next_handler, value)
                    if returned is not None:
                        check_returned(returned, function, req)
                except RecursionError:
                    raise
                except Exception as exc:
                    param.error = exc
                    next(exc)

        next_handler()
