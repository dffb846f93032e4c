"""Inspection of a router: its tree, and the functions that a request would run through."""

from __future__ import annotations

import re
from typing import Any, Iterator, NamedTuple

from ..functions import describe_shortly, find_definition, unwrap
from ..request import Request
from .layer import Layer
from .matching.patterns import PathPattern
from .position import Position
from .router import Router

ANY_METHOD = "*"


class Row(NamedTuple):
    """One function of a router.

    :ivar depth: the number of routers around its own.
    :ivar kind: the method, ``"use"``, ``"error"``, or ``"param"``.
    :ivar path: the pattern as it was registered; "" for every path.
    :ivar handler: the name of the function; for an error handler, the error classes, too.
    :ivar place: the place of its definition, ``file:line``.
    :ivar name: the handler without its module.
    """

    depth: int
    kind: str
    path: str
    handler: str
    place: str
    name: str = ""


def list_routes(router: Router, depth: int = 0) -> Iterator[Row]:
    """Go through the tree of a router, in the order of the stack."""
    for name, function in router.param_handlers():
        yield _row(depth, "param", f":{name}", function)
    for layer in router.layers():
        path = describe_path(layer.path)
        if layer.route is not None:
            for method, handler in layer.route.functions():
                yield _row(depth, method or ANY_METHOD, path, handler)
                if isinstance(handler, Router):
                    yield from list_routes(handler, depth + 1)
        elif layer.is_error_handler:
            row = _row(depth, "error", path, layer.handle)
            classes = ", ".join(item.__name__ for item in layer.error_classes)
            if classes:
                row = row._replace(
                    handler=f"{row.handler} for {classes}", name=f"{row.name} for {classes}"
                )
            yield row
        else:
            yield _row(depth, "use", path, layer.handle)
            if isinstance(layer.handle, Router):
                yield from list_routes(layer.handle, depth + 1)


class Step(NamedTuple):
    """One function that a request would reach, if all functions before it call ``next()``.

    :ivar base_path: the part of the path that the routers above have matched.
    :ivar params: ``req.params`` as the function sees them.
    """

    row: Row
    base_path: str
    params: dict[Any, str]


def match(router: Router, method: str, path: str) -> Iterator[Step]:
    """Go through the functions that a request would reach, in order.

    :raises BadPath: at a parameter that does not decode; the error handlers would come next.
    """
    request = Request(method)
    request.path = request.original_path = path
    yield from _match(router, request, 0)


def _match(router: Router, request: Request, depth: int) -> Iterator[Step]:
    outside = Position(request)
    for layer in router.layers():
        outside.restore(request)
        if not layer.takes(None):
            continue
        matched = layer.enter(request, router.merges_params)
        if matched is None:
            continue
        yield from _match_layer(layer, matched, request, depth)
    outside.restore(request)


def _match_layer(layer: Layer, matched: str, request: Request, depth: int) -> Iterator[Step]:
    path = describe_path(layer.path)
    params = dict(request.params)
    if layer.route is not None:
        for method, function in layer.route.functions():
            if method is None or method == request.method:
                row = _row(depth, method or ANY_METHOD, path, function)
                yield Step(row, request.base_path, params)
                if isinstance(function, Router):
                    yield from _match(function, request, depth + 1)
        return
    yield Step(_row(depth, "use", path, layer.handle), request.base_path, params)
    if isinstance(layer.handle, Router):
        if matched:
            layer.descend(matched, request)
        yield from _match(layer.handle, request, depth + 1)


def _row(depth: int, kind: str, path: str, function: Any) -> Row:
    handler = describe_shortly(function)
    module = getattr(unwrap(function), "__module__", None)
    name = handler[len(f"{module}.") :] if handler.startswith(f"{module}.") else handler
    place = "" if isinstance(function, Router) else find_definition(function)
    return Row(depth, kind, path, handler, place, name)


def describe_path(path: PathPattern | None) -> str:
    """Write a pattern as it was registered."""
    if path is None:
        return ""
    if isinstance(path, str):
        return path
    if isinstance(path, re.Pattern):
        return f"re:{path.pattern}"
    return " | ".join(describe_path(item) for item in path)


def list_methods(router: Router) -> set[str]:
    """Return the methods that routes are registered for, by name."""
    found: set[str] = set()
    for layer in router.layers():
        handlers = [(None, layer.handle)] if layer.route is None else layer.route.functions()
        for method, handler in handlers:
            if method is not None:
                found.add(method)
            if isinstance(handler, Router):
                found |= list_methods(handler)
    return found
