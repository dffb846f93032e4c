"""Kept text: messages that are kept as text, and read again when they are needed.

A JSON text of 64 KiB may become objects of 3 MiB (:mod:`.object_size`). So messages that are
kept for a peer are kept as text.
"""

from __future__ import annotations

import json
from typing import Any


def read_kept(text: bytes) -> dict[str, Any]:
    """Return the message of a text that was written here: a JSON object."""
    # The standard library, because msgspec 0.18 damages some integers (long_integers.py).
    message: dict[str, Any] = json.loads(text)
    return message
