"""A sendable: its method and data are checked when it is made."""

from __future__ import annotations

import pytest

from protoo_flask.core.errors import UsageError
from protoo_flask.core.request import Request


@pytest.mark.parametrize("method", ["", None, 5, b"get"], ids=repr)
def test_a_request_needs_a_method(method):
    with pytest.raises(UsageError, match="non-empty method"):
        Request(method)


@pytest.mark.parametrize("data", [[], "text", 0], ids=repr)
def test_the_data_of_a_request_is_a_dict(data):
    with pytest.raises(UsageError, match="takes a dict as data"):
        Request("get", data)
