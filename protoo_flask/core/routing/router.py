"""The router: a stack of layers, walked by ``next()`` with the semantics of Express 4.

Each layer pairs a path with a middleware ``fn(req, next)``, an error handler
``fn(error, req, next)``, or a route. A request takes this way: ``Router.__call__`` finds the
layers that may apply, a :class:`.Walk` goes through them in order, and each layer is asked
``takes()``, ``enter()`` and ``run()``.

``next()`` is synchronous: it returns when the rest of the chain has run. ``req.path``,
``req.params``, ``req.base_path`` and ``req.route`` then have their former values again.
"""

from __future__ import annotations

from typing import Any, Callable, Iterable, Sequence, overload

from ..errors import BadPath, UsageError
from ..functions import ERROR_HANDLER, MIDDLEWARE, Decorator, F, check_function, show
from ..registration_log import RegistrationLog
from ..request import Request
from .decoration import is_decorated
from .layer import Layer, RoutingOptions
from .matching import fast_layer_index
from .matching.all_layers import AllLayers
from .matching.fast_layer_index import LayerIndex
from .matching.patterns import PathPattern
from .methods import MethodDecorators
from .param_handlers import ParamHandlers, Seen
from .registration import (
    Next,
    ParamHandler,
    Registered,
    check_method,
    check_open,
    is_path,
    split_error_classes,
    split_path,
)
from .returned_values import check_returned
from .route import Route, leaves_route, leaves_router


class Router(MethodDecorators):
    """A stack of layers, itself a middleware: ``protoo.use("/users", router)``.

    Every method takes an optional path first; without one it applies to every path. Each
    method works as a call with functions (it returns the router) or as a decorator, with
    parentheses or without (it returns the function)::

        router.use(logger)
        router.message("/:username", check, deliver)

        @router.get("/time")
        def get_time(req, next):
            req.reply(200, "OK", {"time": time.time()})

    :param case_sensitive: whether "/Users" and "/users" differ (default: the app's setting).
    :param strict: whether a trailing slash makes a difference in routes (default: the same).
    :param merge_params: whether ``req.params`` includes those of the router above.
    """

    def __init__(
        self,
        case_sensitive: bool | None = None,
        strict: bool | None = None,
        merge_params: bool = False,
    ) -> None:
        self._options = RoutingOptions(case_sensitive, strict, merge_params)
        #: Whether its layers see the parameters of the router above.
        self.merges_params = merge_params
        #: Notices registrations that are made again for another app.
        self.registrations = RegistrationLog()
        self._stack: list[Layer] = []
        #: The functions given to :meth:`param`, by the names of their parameters.
        self.handled_params = ParamHandlers()
        self._frozen = False
        self._options_in_effect = self._options
        #: The options of the router that this one is mounted in.
        self._surroundings = RoutingOptions()
        #: Finds the layers for a request. An index takes this place when the stack is complete.
        self._layers: AllLayers | LayerIndex = AllLayers(self._stack, self._compile)

    # Registration ----------------------------------------------------------------

    @overload
    def use(self, path: PathPattern = ..., /) -> Decorator: ...

    @overload
    def use(self, function: F, /) -> F: ...

    @overload
    def use(self, *args: Registered) -> Any: ...

    def use(self, *args: Any) -> Any:
        """Run functions or routers for every request at or below a path, of any method."""
        return self._register(args, lambda path, functions: [Layer(path, fn) for fn in functions])

    @overload
    def all(self, path: PathPattern = ..., /) -> Decorator: ...

    @overload
    def all(self, function: F, /) -> F: ...

    @overload
    def all(self, *args: Registered) -> Any: ...

    def all(self, *args: Any) -> Any:
        """Handle requests of any method, if the whole path matches."""
        return self._register(args, lambda path, functions: [_route(path, None, functions)])

    @overload
    def method(self, name: str, path: PathPattern = ..., /) -> Decorator: ...

    @overload
    def method(self, name: str, function: F, /) -> F: ...

    @overload
    def method(self, name: str, *args: Registered) -> Any: ...

    def method(self, name: str, *args: Any) -> Any:
        """Handle requests of the method ``name``, which may be any string.

        >>> router = Router()
        >>> @router.method("wave", "/:username")
        ... def wave(req, next):
        ...     req.reply(200, "waved back")
        """
        check_method(name)
        return self._register(args, lambda path, functions: [_route(path, name, functions)])

    @overload
    def errorhandler(self, *args: PathPattern | type[BaseException]) -> Decorator: ...

    @overload
    def errorhandler(self, function: F, /) -> F: ...

    @overload
    def errorhandler(self, *args: Registered) -> Any: ...

    def errorhandler(self, *args: Any) -> Any:
        """Handle the errors of the layers above it: ``fn(error, req, next)``.

        Optionally only those of a path, of some classes of exceptions, or of both::

            @router.errorhandler("/files", FileNotFoundError, PermissionError)
            def no_file(error, req, next):
                req.reply(404, "no such file")
        """
        rest, classes = split_error_classes(args)
        return self._register(
            rest,
            lambda path, functions: [Layer(path, fn, True, classes) for fn in functions],
            ERROR_HANDLER,
        )

    def route(self, path: PathPattern, *, methods: None = None) -> Route:
        """Return a :class:`.Route`, which takes functions for several methods of one path.

        :param methods: only for the error about it, as Flask's ``route()`` takes methods.
        """
        if methods is not None:
            raise UsageError(
                f"route(path) takes no methods: write route({path!r}).message(fn), or a decorator "
                f"for each method, like @protoo.message({path!r})"
            )
        if not is_path(path):
            raise UsageError(f'route(path) takes a path like "/rooms/:id", not {show(path)}')
        route = Route(path)
        self._append([Layer(path, route)])
        return route

    @overload
    def param(self, names: str | Sequence[str], function: None = None) -> Decorator: ...

    @overload
    def param(self, names: str | Sequence[str], function: ParamHandler) -> Router: ...

    def param(self, names: str | Sequence[str], function: Any = None) -> Any:
        """Run ``fn(req, next, value)`` before the layers with such a parameter in their path.

        It runs once for each request and value. This is a call or a decorator.
        """
        wanted: list[Any] = list(names) if isinstance(names, (list, tuple)) else [names]
        for name in wanted:
            if not isinstance(name, str) or not name or name.startswith(":"):
                raise UsageError(
                    'param(name, fn) takes the name of a parameter, like "username", not '
                    + show(name)
                )

        def decorate(function: ParamHandler) -> ParamHandler:
            check_open(self._frozen)
            check_function(function, "fn(req, next, value)")
            self.registrations.add("param", wanted, function)
            for name in wanted:
                self.handled_params.add(name, function)
            return function

        if function is None:
            return decorate
        decorate(function)
        return self

    def _register(
        self,
        args: Sequence[Any],
        make_layers: Callable[[PathPattern | None, list[Any]], list[Layer]],
        form: str = MIDDLEWARE,
    ) -> Any:
        check_open(self._frozen)
        path, functions = split_path(args, form)
        if functions:
            self._append(make_layers(path, functions))
            return args[0] if len(args) == 1 and is_decorated(args[0]) else self

        def decorate(function: Any) -> Any:
            self._append(make_layers(path, [check_function(function, form)]))
            return function

        return decorate

    def _append(self, layers: list[Layer]) -> None:
        check_open(self._frozen)
        for layer in layers:
            self.registrations.add(layer.path, layer.handle, layer.is_error_handler)
            for function in layer.functions:
                if isinstance(function, Router):
                    # A router of a module may be mounted by the Protoo of each app.
                    function.begin_app()
        self._stack.extend(layers)

    def begin_app(self) -> None:
        """Note that another app has been initialised with this router, and those below it."""
        self._begin_app(set())

    def _begin_app(self, done: set[int]) -> None:
        if id(self) in done:
            return  # two routers that are mounted in each other
        done.add(id(self))
        self.registrations.begin_app()
        for layer in self._stack:
            if layer.route is not None:
                layer.route.registrations.begin_app()
            for function in layer.functions:
                if isinstance(function, Router):
                    function._begin_app(done)

    def freeze(self, parent: RoutingOptions) -> bool:
        """Close the registration of this router and of those below it.

        Paths are compiled once more, because the settings of the app are known only now.

        :returns: whether these options are in effect. They are not when one of the routers was
            closed with others before, for another app.
        """
        options = self._options.within(parent)
        if self._frozen:
            return options == self._options_in_effect
        self._frozen = True
        self._options_in_effect = options
        in_effect = True
        for layer in self._stack:
            layer.freeze(options, self.handled_params)
            for function in layer.functions:
                if isinstance(function, Router):
                    in_effect = function.freeze(options) and in_effect
        self._layers = AllLayers(self._stack)
        if fast_layer_index.ENABLED:
            self._layers = LayerIndex(self._stack, bool(options.case_sensitive))
        return in_effect

    def _compile(self) -> None:
        """Compile the paths of a router that is called, and so is never frozen.

        Its own options hold then, and those of the called router that it is mounted in. Its
        registration stays open, so each call looks for new layers.
        """
        options = self._options.within(self._surroundings)
        for layer in self._stack:
            layer.compile(options)
            for function in layer.functions:
                if isinstance(function, Router):
                    function._surroundings = options

    # Inspection ------------------------------------------------------------------

    def layers(self) -> Sequence[Layer]:
        """Return its layers, in order."""
        return tuple(self._stack)

    def param_handlers(self) -> list[tuple[str, ParamHandler]]:
        """Return the names and functions given to :meth:`param`."""
        return self.handled_params.pairs()

    # Running ---------------------------------------------------------------------

    def __call__(self, req: Request, next: Next) -> None:
        """Run the layers that apply to ``req`` in order, then ``next``.

        A router is mounted, or called by a middleware. A called one has its own options only.
        """
        layers, parts = self._layers.find(req.method, req.path)
        Walk(req, next, layers, parts, self).next()


def _route(path: PathPattern | None, method: str | None, functions: list[Any]) -> Layer:
    route = Route(path)
    route.add(method, functions)
    return Layer(path, route)


class Walk:
    """The progress of one request in the stack of one router, driven by ``next()``.

    One loop finds the next layer that applies. With an error, the same loop skips the
    middleware and stops at the error handlers below. ``next()`` may also be called later,
    twice, or in another greenlet. So a walk remembers the position of the request at its start,
    shows each layer that position, and gives the caller of ``next()`` its own position back.

    A walk is an object with a method ``next``, not a closure: a closure that passes itself on
    is a reference circle, and each request would wait for the garbage collector.

    :param leave: the ``next`` of the router itself, called after the last layer.
    :param layers: the layers that may apply, in order.
    :param parts: the path, split at "/", for the fast way into layers; ``None`` for a path
        that needs the plain way.
    :param router: whose stack it is.
    """

    __slots__ = (
        "_layers",
        "_leave",
        "_parts",
        "_position",
        "_req",
        "_router",
        "_seen",
    )

    def __init__(
        self,
        req: Request,
        leave: Next,
        layers: Iterable[Layer],
        parts: Sequence[str] | None,
        router: Router,
    ) -> None:
        self._req = req
        self._leave = leave
        self._layers = iter(layers)
        self._router = router
        self._parts = parts
        self._seen: Seen | None = None
        # A tuple instead of a Position: with an object, a request takes 14 % more instructions.
        self._position = req.path, req.base_path, req.params, req.route

    def next(self, error: Any = None) -> None:
        """Run the next layer that applies, or leave the router."""
        if error is not None:
            if leaves_router(error):
                self._leave()
                return
            if leaves_route(error):
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
                middleware = layer.middleware
                if middleware is not None and error is None:
                    req.params = req.params.copy() if self._router.merges_params else {}
                    req.last_handler = middleware
                    returned = middleware(req, self.next)
                    if returned is not None:
                        check_returned(returned, middleware, req)
                    return
                fast_enter = layer.fast_enter
                if fast_enter is not None and parts is not None and error is None:
                    handle = fast_enter(req, parts)
                    if handle is not None:
                        req.last_handler = handle
                        returned = handle(req, self.next)
                        if returned is not None:
                            check_returned(returned, handle, req)
                        return
                if not layer.takes(error):
                    continue
                try:
                    matched = layer.enter(req, self._router.merges_params)
                except BadPath as exc:
                    error = exc if error is None else error
                    continue
                if matched is None:
                    continue
                param_handlers = self._router.handled_params
                if param_handlers and req.params and error is None:
                    if self._seen is None:
                        self._seen = {}
                    param_handlers.run(layer, matched, req, self._seen, self.next)
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
