"""A sendable: its method and data are checked when it is made."""

from __future__ import annotations

import pytest

from protoo_flask.core.errors import UsageError
from protoo_flask.core.request import Request
from protoo_flask.core.sendable import Sendable
from tests.fakes import Core


@pytest.mark.parametrize("method", ["", None, 5, b"get"], ids=repr)
def test_a_request_needs_a_method(method):
    with pytest.raises(UsageError, match="non-empty method"):
        Request(method)


@pytest.mark.parametrize("data", [[], "text", 0], ids=repr)
def test_the_data_of_a_request_is_a_dict(data):
    with pytest.raises(UsageError, match="takes a dict as data"):
        Request("get", data)


def test_a_sendable_can_be_sent_like_a_request_and_has_data_of_its_own():
    bob = Core().connect("bob", "b1")
    first, second = Sendable("get"), Sendable("get")
    assert (first.data, first.sender) == ({}, None)
    assert first.data is not second.data
    transaction = bob.peer.send(first)
    assert transaction.request is first
    assert bob.take() == {"method": "get", "id": transaction.id, "data": {}}


@pytest.mark.parametrize(("method", "data"), [("", None), (None, None), ("get", [])], ids=repr)
def test_a_sendable_checks_its_method_and_data_as_a_request_does(method, data):
    with pytest.raises(UsageError, match="takes a"):
        Sendable(method, data)
