"""A response: the kinds of statuses, and the data that a client sent."""

from __future__ import annotations

import pytest

from protoo_flask.core.request import Request
from protoo_flask.core.response import Response
from tests.fakes import Core


@pytest.mark.parametrize(
    ("status", "kinds"),
    [
        (100, ["provisional"]),
        (199, ["provisional"]),
        (200, ["final", "accept"]),
        (299, ["final", "accept"]),
        (300, ["final", "reject"]),
        (699, ["final", "reject"]),
    ],
)
def test_the_class_of_a_status_says_what_kind_of_response_it_is(status, kinds):
    response = Response(status)
    all_kinds = ("provisional", "final", "accept", "reject")
    assert [kind for kind in all_kinds if getattr(response, f"is_{kind}")] == kinds
    assert not response.is_local
    assert response.peer is response.id is None


@pytest.mark.parametrize("fields", ["", ', "data": null', ', "data": {}'])
def test_a_response_without_data_has_an_empty_dict(fields):
    alice = Core().connect()
    transaction = alice.peer.send(Request("get"))
    alice.send_raw(b'{"status": 200, "id": %d%s}' % (transaction.id, fields.encode()))
    assert transaction.response.data == {}
