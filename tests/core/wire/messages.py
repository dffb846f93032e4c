"""Messages of the wire format for the tests, valid ones and changed ones."""

from __future__ import annotations

import json

import pytest

from protoo_flask.core.errors import BadMessage
from protoo_flask.core.wire.messages import parse

REQUEST = {"method": "message", "path": "/users/bob", "id": 7, "data": {"text": "hi"}}
RESPONSE = {"status": 200, "reason": "OK", "id": 7, "data": {"n": 1}}


def encode(message, **changes):
    """Write ``message`` as JSON with some fields changed, or left out when ``...``."""
    changed = {**message, **changes}
    return json.dumps({key: value for key, value in changed.items() if value is not ...}).encode()


def refusal_of(payload):
    with pytest.raises(BadMessage) as caught:
        parse(payload)
    return caught.value
