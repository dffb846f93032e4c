"""The walk of one request through the layers of a router, driven by ``next()``.

One loop finds the next layer that applies. With an error, the same loop skips the middleware
and stops at the error handlers below. ``next()`` may also be called later, twice, or in
another greenlet. So a walk remembers the position of the request at its start, shows each
layer that position, and gives the caller of ``next()`` its own position back.

A walk is an object with a method ``next``, not a closure: a closure that passes itself on is
a reference circle, and each request would wait for the garbage collector.
"""

from __future__ import annotations

from typing import Any, Iterable, Sequence

from ..errors import BadPath
from ..request import Request
from .layer import Layer
from .param_handlers import ParamHandlers, Seen
from .registration import Next
from .route import leaves_route


class Walk:
    """The progress of one request in the stack of one router.

    :param leave: the ``next`` of the router itself, called after the last layer.
    :param layers: the layers that may apply, in order.
    :param parts: the path, split at "/", for the fast way into layers; ``None`` for a path
        that needs the plain way.
    """

    __slots__ = (
        "_layers",
        "_leave",
        "_merges_params",
        "_param_handlers",
        "_parts",
        "_position",
        "_req",
        "_seen",
    )

    def __init__(
        self,
        req: Request,
        leave: Next,
        layers: Iterable[Layer],
        parts: Sequence[str] | None,
        param_handlers: ParamHandlers,
        merges_params: bool,
    ) -> None:
        self._req = req
        self._leave = leave
        self._layers = iter(layers)
        self._param_handlers = param_handlers
        self._merges_params = merges_params
        self._parts = parts
        self._seen: Seen | None = None
        # A tuple instead of a Position: with an object, a request takes 14 % more instructions.
        self._position = req.path, req.base_path, req.params, req.route

    def next(self, error: Any = None) -> None:
        """Run the next layer that applies, or leave the router."""
        if error is not None and leaves_route(error):
            error = None
        req = self._req
        if req.ended:
            if error is not None:
                self._leave(error)  # for the log; the request has its answer already
            return
        caller = req.path, req.base_path, req.params, req.route
        req.path, req.base_path, req.params, req.route = self._position
        parts = self._parts
        try:
            for layer in self._layers:
                fast_enter = layer.fast_enter
                if fast_enter is not None and parts is not None and error is None:
                    handle = fast_enter(req, parts)
                    if handle is not None:
                        req.last_handler = handle
                        handle(req, self.next)
                        return
                if not layer.takes(error):
                    continue
                try:
                    matched = layer.enter(req, self._merges_params)
                except BadPath as exc:
                    error = exc if error is None else error
                    continue
                if matched is None:
                    continue
                if self._param_handlers and req.params and error is None:
                    if self._seen is None:
                        self._seen = {}
                    self._param_handlers.run(layer, matched, req, self._seen, self.next)
                else:
                    layer.run(matched, error, req, self.next)
                return
            self._leave(error)
        except RecursionError:
            raise  # Application.handle() answers it: here the stack has no room left
        except Exception as exc:
            self.next(exc)
        finally:
            req.path, req.base_path, req.params, req.route = caller
