"""The output: lines on stdout, from several threads."""

from __future__ import annotations

import os
import sys
import threading
from typing import Any, Callable


class Output:
    """Writes to stdout. When nobody reads it any more, the program ends: nobody needs it.

    :param give_up: called with the error when stdout cannot be written; does not return.
    """

    def __init__(self, give_up: Callable[[OSError], object]) -> None:
        self._give_up = give_up
        self._lock = threading.Lock()

    def write(self, text: str) -> None:
        """Write a text at once."""
        try:
            with self._lock:
                sys.stdout.write(text)
                sys.stdout.flush()
        except OSError as error:
            self._give_up(error)


def open_standard_streams() -> None:
    """Make up for streams that are closed, and for encodings that know few characters."""
    sys.stdin = sys.stdin or _open_nothing("r")
    sys.stdout = sys.stdout or _open_nothing("w")
    sys.stderr = sys.stderr or _open_nothing("w")
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _open_nothing(mode: str) -> Any:
    return open(os.devnull, mode)
