"""Traces which functions of a package are called, in whatever greenlet.

A *call* is one entry into a Python function of the package: a method, a lambda, or the first
entry into a generator. Comprehensions are not counted: from CPython 3.12 on they are part
of the function around them.

A *crossing* is a call whose nearest caller inside the package is in another file. The nearest
caller is the first frame of the package below the call on the Python stack, so code of the
standard library, Flask, gevent or the site in between does not count. A call that has no
such frame was made from outside of the package, and is a crossing too.
"""

from __future__ import annotations

import contextlib
import gc
import inspect
import sys
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Iterable, Iterator, NamedTuple, Sequence

import greenlet

COMPREHENSIONS = {"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"}


class Call(NamedTuple):
    """One call.

    :ivar depth: how many frames of the package are below it on the stack of its greenlet.
    :ivar file: path inside the package: ``transport/frames.py``.
    :ivar function: its qualified name (before CPython 3.11 only its name).
    :ivar caller: file of the nearest caller inside the package; ``None`` if there is none.
    """

    depth: int
    file: str
    function: str
    caller: str | None

    @property
    def is_crossing(self) -> bool:
        """Whether the call leads into another file than the one it comes from."""
        return self.file != self.caller


class Counts(NamedTuple):
    """What a table says of a walk through the code."""

    calls: int
    files: int
    crossings: int


def count(walk: Iterable[Call]) -> Counts:
    """Count the calls of a walk, the files that they are in and the crossings.

    >>> count([Call(0, "a.py", "f", None), Call(1, "a.py", "g", "a.py")])
    Counts(calls=2, files=1, crossings=1)
    """
    calls = list(walk)
    return Counts(
        len(calls), len({call.file for call in calls}), sum(call.is_crossing for call in calls)
    )


def without_idle_calls(walk: Sequence[Call], idle: Iterable[Call]) -> list[Call]:
    """Leave out what the event loop calls also when nothing happens.

    How often it does depends on the time, not on the trip. Such a call is left out when it
    was seen while nothing happened, comes from outside of the package and calls nothing.

    :param idle: the calls traced while nothing happened.
    """
    idle = set(idle)
    following = [*walk[1:], None]
    return [
        call
        for call, after in zip(walk, following)
        if call not in idle or call.depth or (after is not None and after.depth > 0)
    ]


class Tracer:
    """Keeps the calls of the functions of one package.

    :param folder: the folder of the package.
    :ivar walk: the calls so far, in order.
    """

    def __init__(self, folder: Path) -> None:
        self.walk: list[Call] = []
        self._prefix = f"{folder.resolve()}/"
        #: ``{code: path inside the package}``, ``None`` for code of others.
        self._files: dict[CodeType, str | None] = {}
        #: Frames of generators that were entered. They are kept, so no id is used twice.
        self._generators: dict[int, FrameType] = {}

    @contextlib.contextmanager
    def tracing(self) -> Iterator[list[Call]]:
        """Trace what happens in a block, in all greenlets of this thread.

        No garbage is collected meanwhile: a collection may call finalizers at any point.
        """
        self.walk = []
        gc.collect()
        gc.disable()
        greenlet.settrace(self._on_switch)
        sys.setprofile(self._see)
        try:
            yield self.walk
        finally:
            sys.setprofile(None)
            greenlet.settrace(None)
            gc.enable()
            self._generators.clear()

    def _on_switch(self, event: str, args: Any) -> None:
        # Until CPython 3.11, whether there is a profile function is looked up in a place that
        # each greenlet has for itself. This runs in the greenlet that was switched to.
        sys.setprofile(self._see)

    def _see(self, frame: FrameType, event: str, arg: Any) -> None:
        if event != "call":
            return
        code = frame.f_code
        file = self._file_of(code)
        if file is None or code.co_name in COMPREHENSIONS:
            return
        if code.co_flags & inspect.CO_GENERATOR:
            if id(frame) in self._generators:
                return  # it is resumed
            self._generators[id(frame)] = frame
        depth, caller = 0, None
        below = frame.f_back
        while below is not None:
            other = self._file_of(below.f_code)
            if other is not None:
                depth += 1
                caller = caller or other
            below = below.f_back
        self.walk.append(Call(depth, file, getattr(code, "co_qualname", code.co_name), caller))

    def _file_of(self, code: CodeType) -> str | None:
        try:
            return self._files[code]
        except KeyError:
            path = code.co_filename
            is_ours = path.startswith(self._prefix)
            file = self._files[code] = path[len(self._prefix) :] if is_ours else None
            return file
