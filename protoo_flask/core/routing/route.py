"""A route: the functions for one path, by method."""

from __future__ import annotations

from typing import Any, Collection, Sequence

from ..errors import UsageError
from ..functions import check_function
from ..registration_log import RegistrationLog
from ..request import Request
from .decoration import is_decorated
from .matching.patterns import PathPattern
from .methods import MethodDecorators
from .registration import Handler, Next, check_method, check_open, flatten
from .returned_values import check_returned

#: The argument of ``next("route")``, which leaves the current route.
LEAVE_ROUTE = "route"

#: The argument of ``next("router")``, which leaves the current router.
LEAVE_ROUTER = "router"


def leaves_route(error: Any) -> bool:
    """Whether ``next(error)`` was ``next("route")``."""
    return isinstance(error, str) and error == LEAVE_ROUTE


def leaves_router(error: Any) -> bool:
    """Whether ``next(error)`` was ``next("router")``."""
    return isinstance(error, str) and error == LEAVE_ROUTER


class Route(MethodDecorators):
    """The functions for one path; its methods can be chained.

    ::

        protoo.route("/rooms/:id").get(show).message(say).all(refuse)
    """

    def __init__(self, path: PathPattern | None = None) -> None:
        self.path = path
        #: Notices registrations that are made again for another app.
        self.registrations = RegistrationLog()
        self._stack: list[tuple[str | None, Handler]] = []
        #: The functions for each named method, in order, with those for any method among them;
        #: and the functions for every other method.
        self._by_method: dict[str, list[Handler]] = {}
        self._for_any_method: list[Handler] = []
        self._frozen = False

    @property
    def methods(self) -> set[str] | None:
        """The methods with functions here; ``None`` for all methods."""
        return None if self._for_any_method else set(self._by_method)

    @property
    def named_methods(self) -> Collection[str]:
        """The methods that were named when functions were registered."""
        return self._by_method.keys()

    def select(self, method: str) -> Sequence[Handler]:
        """Return the functions for ``method``, in order; the list may be empty."""
        return self._by_method.get(method, self._for_any_method)

    def method(self, name: str, *args: Any) -> Any:
        """Handle requests of the method ``name``: a call with functions, or a decorator."""
        return self._register(check_method(name), args)

    def all(self, *args: Any) -> Any:
        """Handle requests of any method."""
        return self._register(None, args)

    def add(self, method: str | None, functions: Sequence[Handler]) -> None:
        """Append functions for one method, or with ``None`` for all methods."""
        check_open(self._frozen)
        self.registrations.add(method, functions)
        self._stack.extend((method, function) for function in functions)
        if method is not None:
            chosen = [self._by_method.setdefault(method, [*self._for_any_method])]
        else:
            chosen = [self._for_any_method, *self._by_method.values()]
        for selection in chosen:
            selection.extend(functions)

    def functions(self) -> Sequence[tuple[str | None, Handler]]:
        """Return the functions in order, each with its method; ``None`` stands for any method."""
        return tuple(self._stack)

    def freeze(self) -> None:
        """Close the registration."""
        self._frozen = True

    def _register(self, method: str | None, args: Sequence[Any]) -> Any:
        check_open(self._frozen)
        if args:
            self.add(method, flatten(args))
            return args[0] if len(args) == 1 and is_decorated(args[0]) else self

        def decorate(function: Handler) -> Handler:
            self.add(method, (check_function(function),))
            return function

        return decorate

    def __call__(self, req: Request, next: Next | None = None) -> None:
        """Run the functions for ``req.method`` in order, then ``next``.

        :raises UsageError: when it is used as a decorator, like Flask's ``route()``.
        """
        if next is None:
            raise UsageError(
                f"route({self.path!r}) is no decorator: it takes the functions for each method, as "
                f"in route({self.path!r}).message(fn). The decorators are @protoo.message("
                f"{self.path!r}), one for each method, and @protoo.all({self.path!r})"
            )
        _RouteWalk(req, next, self.select(req.method)).next()

    def __repr__(self) -> str:
        return f"<Route {self.path!r}>"


class _RouteWalk:
    """The progress of one request through the functions of a route; see :class:`.Walk`."""

    __slots__ = ("_functions", "_leave", "_position", "_req")

    def __init__(self, req: Request, leave: Next, functions: Sequence[Handler]) -> None:
        self._req = req
        self._leave = leave
        self._functions = iter(functions)
        # next() may be called later, for example by an on_response(). By then the request may
        # be somewhere else, so the position of the route is kept.
        self._position = req.path, req.base_path, req.params, req.route

    def next(self, error: Any = None) -> None:
        """Run the next function, or leave the route."""
        req = self._req
        if req.ended or error is not None:
            # An error leaves the route, and so do next("route") and next("router"): the walk
            # of the router sees to the latter. After a final reply, the routers above need to
            # know about errors only.
            self._leave(None if leaves_route(error) else error)
            return
        caller = req.path, req.base_path, req.params, req.route
        req.path, req.base_path, req.params, req.route = self._position
        try:
            for function in self._functions:
                req.last_handler = function
                returned = function(req, self.next)
                if returned is not None:
                    check_returned(returned, function, req)
                return
            self._leave()
        except RecursionError:
            raise
        except Exception as exc:
            self.next(exc)
        finally:
            req.path, req.base_path, req.params, req.route = caller
