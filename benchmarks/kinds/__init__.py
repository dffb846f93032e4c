"""The kinds of things that are measured, one module each."""

from __future__ import annotations

from . import relay, request
from .kind import Kind

KINDS: dict[str, Kind] = {kind.name: kind for kind in (request.KIND, relay.KIND)}
#: Those of a short run.
SHORT_KINDS = ("request", "relay")
