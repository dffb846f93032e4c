"""An attack, and the sizes that attacks have in common."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple

from .arena import Arena

#: The devices that a user may have, by default.
DEVICES = 16
#: Bytes of data in a large message, below the default limit of a message.
LARGE = 65000
#: A name of the greatest length but for ten characters, which make it another one. Each takes four
#: bytes.
LONG_NAME = "\U0001f600" * 246


class Attack(NamedTuple):
    """One attack.

    :ivar run: does it.
    :ivar settings: other settings of the site, by their names.
    """

    run: Callable[[Arena], None]
    text: str
    settings: dict[str, Any] = {}


def note_running(arena: Arena) -> None:
    running = arena.get("/running")
    for kind in ("handlers", "listeners"):
        if running[f"most {kind}"]:
            arena.note(f"{running[f'most {kind}']} {kind} at once")
