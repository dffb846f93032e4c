"""Handlers for the tests of the routing, and the answers that they give."""

from __future__ import annotations

ok = (200, "OK")
not_found = (404, "not found")
failed = (500, "internal server error")


def ask(core, path, method="get"):
    """Send a request from a new peer; returns the status and reason of the answer."""
    answer = core.connect().request(method, path)
    return answer["status"], answer["reason"]


def reply(reason):
    """Return a handler that answers with this reason."""
    return lambda req, next: req.reply(200, reason)


def note(trace, name):
    """Return a handler that leaves a trace before and after the rest of the chain."""

    def handler(req, next):
        trace.append(name)
        next()
        trace.append(f"/{name}")

    return handler


def position_of(req):
    """Return the part of a request's position that can be compared."""
    return (req.base_path, req.path, req.params)
