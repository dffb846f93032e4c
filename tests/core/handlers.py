"""Handlers, and the answer to a request that one handles."""

from __future__ import annotations

from tests.fakes import Core


def raising(error):
    def handler(req, next):
        raise error

    return handler


def answer_to(handler, core=None):
    """Return status and reason of the answer to a request that ``handler`` handles."""
    core = core or Core()
    core.router.get("/", handler)
    answer = core.connect().request("get", "/")
    return answer["status"], answer["reason"]
