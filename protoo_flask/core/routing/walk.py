"""The walk of one request through the layers of a router.

``next()`` drives it. One loop finds the next layer that applies, and an error rides the
same loop, past the middleware and into the error handlers below. ``next()`` may also be
called later, twice, or in another greenlet: so a walk remembers how the request looked
where it began, shows it so to each layer, and puts back what its caller saw.

A walk is an object and its ``next`` a method, though closures would do the same: one that
passes itself on is a circle, and then every request, with all that belongs to it, is
left to the garbage collector.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Iterable, Sequence

from ..errors import BadPath
from .layer import Layer
from .param_handlers import ParamHandlers, Seen
from .registration import Next
from .route import leaves_route

if TYPE_CHECKING:
    from ..request import Request


class Walk:
    """Where a request is in the stack of one router: ``Walk().begin(...)``.

    Not ``Walk(...)``, for the reason that a :class:`~.request.ReceivedRequest` gives.
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

    def begin(
        self,
        req: Request,
        leave: Next,
        layers: Iterable[Layer],
        parts: Sequence[str] | None,
        param_handlers: ParamHandlers,
        merges_params: bool,
    ) -> None:
        """Run the layers, from the first that applies.

        :param leave: the ``next`` behind the router.
        :param layers: those that may apply.
        :param parts: the path, split at "/"; ``None`` if it is not plain.
        """
        self._req = req
        self._leave = leave
        self._layers = iter(layers)
        self._param_handlers = param_handlers
        self._merges_params = merges_params
        self._parts = None if merges_params or param_handlers else parts
        self._seen: Seen | None = None
        # What a Position is for, without one: this is done for every layer of every request.
        self._position = req.path, req.base_path, req.params, req.route
        self.next()

    def next(self, error: Any = None) -> None:
        """Run the next layer that applies, or leave."""
        if error is not None and leaves_route(error):
            error = None
        req = self._req
        if req.ended:
            if error is not None:
                self._leave(error)  # for the log; nobody can be answered any more
            return
        caller = req.path, req.base_path, req.params, req.route
        req.path, req.base_path, req.params, req.route = self._position
        parts = self._parts
        try:
            for layer in self._layers:
                if parts is not None and error is None:
                    # Layer.enter() and run(), for what most layers are that a request meets.
                    handle = layer.glance(req, parts)
                    if handle is not None:
                        req.last_handler = handle
                        handle(req, self.next)
                        return
                # Layer.takes(), but for the common case without the call.
                if layer.is_error_handler if error is None else not layer.takes(error):
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
            raise  # see Application.handle(): here is no room to handle anything
        except Exception as exc:
            self.next(exc)
        finally:
            req.path, req.base_path, req.params, req.route = caller
