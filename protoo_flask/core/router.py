"""The router: a stack of layers, walked by ``next()`` with the semantics of Express 4.

Each layer pairs a path with a middleware ``fn(req, next)``, an error handler
``fn(error, req, next)``, or a route. ``next`` is a closure over an index into the
stack: one loop finds the next layer that applies, and an error rides the same loop,
past the middleware and into the error handlers below.

``next()`` is synchronous: it returns when the rest of the chain has run, and then
``req.path``, ``req.params`` and the like are again what they were before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Sequence

from .errors import BadPath, RegistrationClosed, UsageError
from .handlers import Next, ParamHandler, check_function, check_method, is_path, split_path
from .patterns import Matcher, Params, PathPattern, compile_pattern
from .route import Route, leaves_route
from .verbs import Verbs

if TYPE_CHECKING:
    from .request import Request


class RoutingOptions(NamedTuple):
    """How paths are compared; ``None`` means: as the router above says."""

    case_sensitive: bool | None = None
    strict: bool | None = None
    merge_params: bool = False

    def within(self, parent: RoutingOptions) -> RoutingOptions:
        """Fill in what is ``None`` from the options of ``parent``."""
        return RoutingOptions(
            parent.case_sensitive if self.case_sensitive is None else self.case_sensitive,
            parent.strict if self.strict is None else self.strict,
            self.merge_params,
        )


class Layer:
    """One entry of a router's stack: where it applies, and what it runs."""

    __slots__ = ("handle", "is_error_handler", "matcher", "path", "route")

    def __init__(
        self,
        path: PathPattern | None,
        handle: Callable[..., Any],
        is_error_handler: bool = False,
    ) -> None:
        self.path = path
        self.handle = handle
        self.route = handle if isinstance(handle, Route) else None
        self.is_error_handler = is_error_handler
        #: ``None`` applies to every path and gives no parameters.
        self.matcher: Matcher | None = None
        # A bad pattern is refused here, with the line that registers it in the traceback.
        self.compile(RoutingOptions())

    def compile(self, options: RoutingOptions) -> None:
        """Compile the path; done again when the options of the app are known."""
        if self.path is None:
            return
        is_route = self.route is not None
        self.matcher = compile_pattern(
            self.path,
            end=is_route,
            # ``use`` is never strict: a prefix ends at a "/" anyway.
            strict=bool(options.strict) and is_route,
            case_sensitive=bool(options.case_sensitive),
        )

    def enter(self, req: Request, merge_params: bool) -> str | None:
        """Give ``req`` this layer's parameters, when it is for this layer.

        :returns: the part of the path that matched, or ``None`` when it is not.
        :raises BadPath: when a parameter does not decode.
        """
        matched = ""
        params: Params = {}
        if self.matcher is not None:
            match = self.matcher.match(req.path)
            if match is None:
                return None
            matched, params = match
        if self.route is not None:
            if not self.route.handles(req.method):
                return None
            req.route = self.route
        # A compiled regex may match anywhere; below a prefix there is a "/" or nothing.
        elif not req.path.startswith(matched) or req.path[len(matched) :][:1] not in ("", "/"):
            return None
        req.params = {**req.params, **params} if merge_params else params
        return matched

    def run(self, matched: str, error: Any, req: Request, next: Next) -> None:
        """Call the function; below a prefix it sees the rest of the path."""
        if matched and self.route is None:
            req.base_path += matched
            req.path = req.path[len(matched) :] or "/"
        if error:
            self.handle(error, req, next)
        else:
            self.handle(req, next)


class Router(Verbs):
    """A stack of layers, itself a middleware: ``protoo.use("/users", router)``.

    Every method takes the path first, optionally; without one it applies to every
    path. Each works as a call with functions (it returns the router) or as a
    decorator (it returns the function)::

        router.use(logger)
        router.message("/:username", check, deliver)

        @router.get("/time")
        def get_time(req, next):
            req.reply(200, "OK", {"time": time.time()})

    :param case_sensitive: whether "/Users" and "/users" differ (default: as the app says).
    :param strict: whether a trailing slash makes a difference in routes.
    :param merge_params: whether ``req.params`` includes those of the router above.
    """

    def __init__(
        self,
        case_sensitive: bool | None = None,
        strict: bool | None = None,
        merge_params: bool = False,
    ) -> None:
        self._options = RoutingOptions(case_sensitive, strict, merge_params)
        self._stack: list[Layer] = []
        self._param_handlers: dict[str | int, list[ParamHandler]] = {}
        self._frozen = False

    # Registration ----------------------------------------------------------------

    def use(self, *args: Any) -> Any:
        """Run functions or routers for every request below a path, whatever its method."""
        return self._register(args, lambda path, functions: [Layer(path, fn) for fn in functions])

    def all(self, *args: Any) -> Any:
        """Handle requests of any method whose whole path matches."""
        return self._register(args, lambda path, functions: [_route(path, None, functions)])

    def method(self, name: str, *args: Any) -> Any:
        """Handle requests of the method ``name``, which may be any string.

        >>> router = Router()
        >>> @router.method("wave", "/:username")
        ... def wave(req, next):
        ...     req.reply(200, "waved back")
        """
        check_method(name)
        return self._register(args, lambda path, functions: [_route(path, name, functions)])

    def errorhandler(self, *args: Any) -> Any:
        """Handle the errors of the layers above it: ``fn(error, req, next)``."""
        return self._register(
            args, lambda path, functions: [Layer(path, fn, True) for fn in functions]
        )

    def route(self, path: PathPattern) -> Route:
        """Return a :class:`Route`, to give one path functions for several methods."""
        if not is_path(path):
            raise UsageError(f'route(path) takes a path like "/rooms/:id", not {path!r}')
        route = Route(path)
        self._append([Layer(path, route)])
        return route

    def param(self, names: str | Sequence[str], function: Any = None) -> Any:
        """Run ``fn(req, next, value)`` before the layers whose path has such a parameter.

        Once for each request and value. A call or a decorator.
        """
        wanted = [names] if isinstance(names, str) else list(names)
        for name in wanted:
            if not isinstance(name, str) or not name or name.startswith(":"):
                raise UsageError(
                    f'param(name, fn) takes the name of a parameter, like "username", not {name!r}'
                )

        def decorate(function: ParamHandler) -> ParamHandler:
            self._check_open()
            check_function(function)
            for name in wanted:
                self._param_handlers.setdefault(name, []).append(function)
            return function

        if function is None:
            return decorate
        decorate(function)
        return self

    def _register(
        self,
        args: Sequence[Any],
        make_layers: Callable[[PathPattern | None, list[Any]], list[Layer]],
    ) -> Any:
        self._check_open()
        path, functions = split_path(args)
        if functions:
            self._append(make_layers(path, functions))
            return self

        def decorate(function: Any) -> Any:
            self._append(make_layers(path, [check_function(function)]))
            return function

        return decorate

    def _append(self, layers: list[Layer]) -> None:
        self._check_open()
        self._stack.extend(layers)

    def _check_open(self) -> None:
        if self._frozen:
            raise RegistrationClosed(
                "routes and handlers are registered before the first connection: "
                "when the module is imported, or in the app factory"
            )

    def freeze(self, parent: RoutingOptions) -> None:
        """Close the registration of this router and of those below it.

        Paths are compiled once more, now that the settings of the app are known.
        """
        if self._frozen:
            return
        self._frozen = True
        options = self._options.within(parent)
        for layer in self._stack:
            layer.compile(options)
            if isinstance(layer.handle, Router):
                layer.handle.freeze(options)

    # Running ---------------------------------------------------------------------

    def __call__(self, req: Request, next: Next) -> None:
        """Run the layers that apply to ``req`` in order, then ``next``."""
        stack = self._stack
        view = _View(req)
        # {name: value}: what param() handlers have seen, as each runs once per value.
        seen: Params = {}
        index = 0

        def next_layer(error: Any = None) -> None:
            nonlocal index
            if leaves_route(error):
                error = None
            if req.ended:
                if error:
                    next(error)  # for the log; nobody can be answered any more
                return
            caller = _View(req)
            view.restore(req)
            try:
                while index < len(stack):
                    layer = stack[index]
                    index += 1
                    if layer.is_error_handler is not bool(error):
                        continue
                    try:
                        matched = layer.enter(req, self._options.merge_params)
                    except BadPath as exc:
                        error = error or exc
                        continue
                    if matched is None:
                        continue
                    if self._param_handlers and req.params and not error:
                        self._run_param_handlers(layer, matched, req, seen, next_layer)
                    else:
                        layer.run(matched, error, req, next_layer)
                    return
                next(error)
            except Exception as exc:
                next_layer(exc)
            finally:
                caller.restore(req)

        next_layer()

    def _run_param_handlers(
        self, layer: Layer, matched: str, req: Request, seen: Params, next: Next
    ) -> None:
        """Call the param handlers of the parameters that have not been seen, then the layer."""
        waiting = []
        for key in layer.matcher.keys if layer.matcher is not None else ():
            value = req.params.get(key)
            if value is None or seen.get(key) == value:
                continue
            seen[key] = value
            waiting += [(handler, value) for handler in self._param_handlers.get(key, ())]

        def next_param(error: Any = None) -> None:
            if error or req.ended:
                next(error)
            elif waiting:
                handler, value = waiting.pop(0)
                try:
                    handler(req, next_param, value)
                except Exception as exc:
                    next(exc)
            else:
                try:
                    layer.run(matched, None, req, next)
                except Exception as exc:
                    next(exc)

        next_param()


class _View:
    """What a middleware sees of where it is: path, parameters, route."""

    __slots__ = ("base_path", "params", "path", "route")

    def __init__(self, req: Request) -> None:
        self.path = req.path
        self.base_path = req.base_path
        self.params = req.params
        self.route = req.route

    def restore(self, req: Request) -> None:
        req.path = self.path
        req.base_path = self.base_path
        req.params = self.params
        req.route = self.route


def _route(path: PathPattern | None, method: str | None, functions: list[Any]) -> Layer:
    route = Route(path)
    route.add(method, functions)
    return Layer(path, route)
