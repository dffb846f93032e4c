"""A layer: where in a router something applies, and what it runs."""

from __future__ import annotations

from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Sequence

from .matching.patterns import (
    Matcher,
    Params,
    PathPattern,
    compile_pattern,
)
from .matching.segments import Prefix, Segments
from .registration import Handler, Next
from .route import Route

if TYPE_CHECKING:
    from ..request import Request


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

    __slots__ = (
        "call",
        "error_classes",
        "handle",
        "is_error_handler",
        "is_plain",
        "keys",
        "length",
        "matcher",
        "path",
        "prefix",
        "route",
        "single",
    )

    def __init__(
        self,
        path: PathPattern | None,
        handle: Callable[..., Any],
        is_error_handler: bool = False,
        error_classes: tuple[type[BaseException], ...] = (),
    ) -> None:
        self.path = path
        self.handle = handle
        #: The same; of a router, say, its ``__call__``, as calling the object is a detour.
        self.call = handle
        if not isinstance(handle, (FunctionType, MethodType)):
            self.call = handle.__call__  # type: ignore[operator]
        self.route = handle if isinstance(handle, Route) else None
        self.is_error_handler = is_error_handler
        #: Whether it is a middleware without a path: nothing to match, nothing to choose.
        self.is_plain = path is None and self.route is None and not is_error_handler
        #: Which errors it is for; none means all.
        self.error_classes = error_classes
        #: ``None`` applies to every path and gives no parameters.
        self.matcher: Matcher | None = None
        #: What :meth:`glance` needs, of a route of whole segments: the function for each
        #: method that has one only, how many parts a path has, and where parameters are.
        self.single: dict[str, Handler] = {}
        self.length = 0
        self.keys: Sequence[tuple[int, str]] = ()
        #: And of what is mounted at plain text: how many characters that is.
        self.prefix = 0
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

    def freeze(self, options: RoutingOptions) -> list[Handler]:
        """Compile it for good, when nothing more is registered; returns its functions."""
        self.compile(options)
        segments = None if self.matcher is None else self.matcher.segments
        if self.route is None:
            if isinstance(segments, Prefix) and not self.is_error_handler:
                self.prefix = segments.length
            return [self.handle]
        functions = self.route.freeze()
        if isinstance(segments, Segments):
            self.single, self.length, self.keys = (
                self.route.single(),
                segments.length,
                segments.keys,
            )
        return functions

    @property
    def methods(self) -> set[str] | None:
        """The methods of the requests that it is for; ``None`` for any."""
        return None if self.route is None else self.route.methods

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
            if not self.route.select(req.method):
                return None
            req.route = self.route
        # A compiled regex may match anywhere; below a prefix there is a "/" or nothing.
        elif self.matcher is not None and not self.matcher.is_anchored:
            path, end = req.path, len(matched)
            if not path.startswith(matched) or path[end : end + 1] not in ("", "/"):
                return None
        req.params = {**req.params, **params} if merge_params else params
        return matched

    def glance(self, req: Request, parts: Sequence[str]) -> Handler | None:
        """Do in one step what :meth:`enter` and :meth:`run` do, where that is easy.

        Most layers that a request meets are middleware without a path, a router mounted at
        plain text, or a route of whole segments with one function. That these are for the
        request, the index has found out already, but for how long its path is.

        :param parts: the path, as :meth:`.index.LayerIndex.find` has split it.
        :returns: the function to be called, for which ``req`` is prepared; ``None`` when
            it takes a closer look, as an error handler always does. A test compares the two
            ways.
        """
        if self.is_plain:
            req.params = {}
            return self.call
        if self.prefix:
            rest = req.path[self.prefix :]
            req.base_path += req.path[: self.prefix]
            # As in Express, a slash behind which no segment begins belongs to the prefix.
            req.path = (rest[1:] if rest[1:2] == "/" else rest) or "/"
            req.params = {}
            return self.call
        function = self.single.get(req.method)
        if function is None or len(parts) != self.length or not parts[-1]:
            return None
        params: Params = {}
        for position, key in self.keys:
            params[key] = parts[position]
        req.params = params
        req.route = self.route
        return function

    def run(self, matched: str, error: Any, req: Request, next: Next) -> None:
        """Call the function; below a prefix it sees the rest of the path."""
        handle = self.handle
        if self.route is None:
            if matched:
                self.descend(matched, req)
        else:
            functions = self.route.select(req.method)
            if len(functions) == 1:
                # Spares what a route needs for several: behind the only one, next() means
                # what it means behind the route.
                handle = functions[0]
        req.last_handler = handle
        if error is None:
            handle(req, next)
        else:
            handle(error, req, next)

    def descend(self, matched: str, req: Request) -> None:
        """Show ``req`` as it is below a prefix."""
        req.base_path += matched[:-1] if matched[-1] == "/" else matched
        rest = req.path[len(matched) :]
        req.path = rest if rest[:1] == "/" else "/" + rest

    def takes(self, error: Any) -> bool:
        """Whether this layer is for a chain in this state: with an error, or without."""
        if error is None:
            return not self.is_error_handler
        if not self.is_error_handler:
            return False
        return not self.error_classes or isinstance(error, self.error_classes)
