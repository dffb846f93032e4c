"""Suggestions for wrong names: the name that was probably meant."""

from __future__ import annotations

import difflib
from typing import Iterable, Mapping

_NO_NAMES: Mapping[str, str] = {}


def suggest(name: object, known: Iterable[str], foreign: Mapping[str, str] = _NO_NAMES) -> str:
    """Return the known name that was probably meant, "" if there is none.

    :param foreign: names by which other packages call the same: ``{foreign: ours}``.

    >>> suggest("ping_intervall", ["ping_interval", "path"])
    'ping_interval'
    >>> suggest("connect", ["online", "disconnect"], {"connect": "online"})
    'online'
    """
    if not isinstance(name, str):
        return ""
    word = name.strip().lower().replace("-", "_").replace(" ", "_")
    if word in foreign:
        return foreign[word]
    names = list(known)
    by_word = {other.lower(): other for other in names}
    close = difflib.get_close_matches(word, by_word, 1)
    if close:
        return by_word[close[0]]
    # "ping" is a part of one name only, and "timeout" of many.
    parts = [other for other in names if word in other.lower().split("_")]
    return parts[0] if len(parts) == 1 else ""


def hint(name: object, known: Iterable[str], foreign: Mapping[str, str] = _NO_NAMES) -> str:
    """Return the end of a sentence about a wrong name: ``"; did you mean 'online'?"``, or "".

    The arguments are those of :func:`suggest`.
    """
    meant = suggest(name, known, foreign)
    return f"; did you mean {meant!r}?" if meant else ""
