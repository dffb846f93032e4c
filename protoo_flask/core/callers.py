"""The callers of this package: the frames of the site that its functions are called from."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

_PACKAGE = __name__.partition(".")[0]


def find_caller() -> FrameType:
    """Return the innermost frame that is not of this package."""
    frame = sys._getframe(1)
    while frame.f_back is not None and _is_ours(frame.f_globals.get("__name__")):
        frame = frame.f_back
    return frame


def find_calling_line() -> str:
    """Return the line of the site that called this package: ``/app/chat.py:81``."""
    frame = find_caller()
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _is_ours(module: Any) -> bool:
    return isinstance(module, str) and module.partition(".")[0] == _PACKAGE
