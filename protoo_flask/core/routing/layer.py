"""A layer: one entry of a router's stack, with its path and the function that it runs."""

from __future__ import annotations

from typing import Any, Callable, Container, NamedTuple, Sequence

from ..request import Request
from .fast_layer import FastEntry, find_fast_entry
from .matching.params import Params, merge_params
from .matching.patterns import Matcher, PathPattern, compile_pattern
from .regex.effort import SHORT, Effort
from .registration import Handler, Next
from .returned_values import check_returned
from .route import Route


class RoutingOptions(NamedTuple):
    """How paths are compared; ``None`` stands for the option of the router above."""

    case_sensitive: bool | None = None
    strict: bool | None = None
    merge_params: bool = False

    def within(self, parent: RoutingOptions) -> RoutingOptions:
        """Replace each ``None`` by the option of ``parent``."""
        return RoutingOptions(
            parent.case_sensitive if self.case_sensitive is None else self.case_sensitive,
            parent.strict if self.strict is None else self.strict,
            self.merge_params,
        )


class Layer:
    """One entry of a router's stack: a path, and a middleware, an error handler or a route.

    :meth:`takes`, :meth:`enter` and :meth:`run` are called in this order for each request.
    """

    __slots__ = (
        "_compiled_for",
        "error_classes",
        "fast_enter",
        "handle",
        "is_error_handler",
        "matcher",
        "middleware",
        "path",
        "route",
    )

    def __init__(
        self,
        path: PathPattern | None,
        handle: Callable[..., Any],
        is_error_handler: bool = False,
        error_classes: tuple[type[BaseException], ...] = (),
    ) -> None:
        self.path = path
        #: The function, router or route to call.
        self.handle = handle
        #: The same object, if it is a route.
        self.route = handle if isinstance(handle, Route) else None
        self.is_error_handler = is_error_handler
        #: The function of a middleware without a path: a request need not enter it.
        self.middleware: Handler | None = None
        if path is None and self.route is None and not is_error_handler:
            self.middleware = handle
        #: The classes of errors that it handles; an empty tuple stands for all.
        self.error_classes = error_classes
        #: ``None`` for a layer without a path, which applies to every path.
        self.matcher: Matcher | None = None
        #: The fast way into this layer, set by :meth:`freeze` if there is one.
        self.fast_enter: FastEntry | None = None
        self._compiled_for: tuple[bool, bool] | None = None
        # A bad pattern is refused here: the traceback then shows the line that registers it.
        self.compile(RoutingOptions())

    def takes(self, error: Any) -> bool:
        """Whether this layer is for a request with this error, or with ``None``."""
        if error is None:
            return not self.is_error_handler
        if not self.is_error_handler:
            return False
        return not self.error_classes or isinstance(error, self.error_classes)

    def enter(self, req: Request, merges_params: bool) -> str | None:
        """Match the path and the method, and give ``req`` the parameters of this layer.

        :returns: the part of the path that matched, or ``None`` if this layer does not apply.
        :raises BadPath: when a parameter does not decode, or the path takes too long to match.
        """
        matched = ""
        params: Params = {}
        matcher = self.matcher
        if matcher is not None:
            path = req.path
            counts = matcher.is_slow or len(path) > SHORT
            match = matcher.match(path, _effort_of(req) if counts else None)
            if match is None:
                return None
            matched, params = match
        if self.route is not None:
            if not self.route.select(req.method):
                return None
            req.route = self.route
        elif matcher is not None:
            # A compiled regex may match anywhere, but a prefix ends at a "/" or at the end.
            path, end = req.path, len(matched)
            if not path.startswith(matched) or path[end : end + 1] not in ("", "/"):
                return None
        req.params = merge_params(req.params, params) if merges_params else params
        return matched

    def run(self, matched: str, error: Any, req: Request, next: Next) -> None:
        """Call the function; below a prefix, it sees the rest of the path."""
        if self.route is None and matched:
            self.descend(matched, req)
        req.last_handler = self.handle
        returned = self.handle(req, next) if error is None else self.handle(error, req, next)
        if returned is not None:
            check_returned(returned, self.handle, req)

    def descend(self, matched: str, req: Request) -> None:
        """Move ``matched`` from the path of ``req`` to its base path."""
        req.base_path += matched[:-1] if matched[-1] == "/" else matched
        rest = req.path[len(matched) :]
        req.path = rest if rest[:1] == "/" else "/" + rest

    def freeze(self, options: RoutingOptions, handled_params: Container[object] = ()) -> None:
        """Close the registration and compile the path with the options of the app.

        :param handled_params: the parameters with handlers of their own, which the fast way
            does not call.
        """
        if self.route is not None:
            self.route.freeze()
        self.compile(options)
        keys = () if self.matcher is None else self.matcher.keys
        if not self.is_error_handler and not any(key in handled_params for key in keys):
            self.fast_enter = find_fast_entry(self.path, self.handle, options.merge_params)

    def compile(self, options: RoutingOptions) -> None:
        """Compile the path with these options, if it is not compiled so already."""
        # ``use`` is never strict: a prefix ends at a "/" anyway.
        is_route = self.route is not None
        wanted = bool(options.strict) and is_route, bool(options.case_sensitive)
        if self.path is None or self._compiled_for == wanted:
            return
        strict, case_sensitive = wanted
        self.matcher = compile_pattern(
            self.path, end=is_route, strict=strict, case_sensitive=case_sensitive
        )
        self._compiled_for = wanted

    @property
    def functions(self) -> Sequence[Handler]:
        """The functions and routers of this layer; those of a route, for any method."""
        if self.route is None:
            return (self.handle,)
        return [function for _, function in self.route.functions()]

    @property
    def methods(self) -> set[str] | None:
        """The methods of the requests that this layer applies to; ``None`` for all."""
        return None if self.route is None else self.route.methods


def _effort_of(req: Request) -> Effort:
    """Return the effort of a request; most requests never need one."""
    effort: Effort | None = getattr(req, "effort", None)
    if effort is None:
        effort = req.effort = Effort()
    return effort
