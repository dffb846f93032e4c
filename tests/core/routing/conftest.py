"""The fast and the plain ways of the routing."""

from __future__ import annotations

import pytest

from protoo_flask.core.routing import fast_layer
from protoo_flask.core.routing.matching import fast_layer_index


@pytest.fixture(params=["fast", "plain"])
def each_way(request, monkeypatch):
    """Run a test twice: with the fast ways, and with their plain twins alone."""
    if request.param == "plain":
        monkeypatch.setattr(fast_layer, "ENABLED", False)
        monkeypatch.setattr(fast_layer_index, "ENABLED", False)
