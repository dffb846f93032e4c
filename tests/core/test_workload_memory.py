"""A device keeps no request whose handler has returned."""

from __future__ import annotations

import weakref

import pytest

from protoo_flask.core.routing.router import Router

from ..fakes import Core


class Marked(dict):
    """Data that tells whether it is still kept."""


@pytest.mark.parametrize("is_answered", [True, False])
@pytest.mark.parametrize("preempts", [True, False])
def test_a_request_that_was_kept_open_is_not_kept_when_it_has_been_answered(preempts, is_answered):
    kept, open_requests = [], []

    def handle(req, next):
        req.keep_open()
        req.data = Marked(req.data)
        kept.append(weakref.ref(req.data))
        if is_answered:
            req.reply(503)
        else:
            open_requests.append(req)

    core = Core(Router().all("/", handle))
    core.scheduler.preempts = preempts
    client = core.connect()
    for _ in range(3):
        client.start_request("get", "/")
    for req in open_requests:
        req.reply(200)
    open_requests.clear()
    client.notify("get", "/")
    open_requests.clear()
    req = None
    assert [ref() for ref in kept] == [None] * 4
