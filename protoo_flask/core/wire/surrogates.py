r"""Lone surrogates: halves of characters, which no text in UTF-8 can have.

In JavaScript, a character such as an emoji is two units of a string, a high and a low
surrogate. ``"hi 😀".slice(0, 4)`` leaves one of them, and JSON writes it as ``"hi \ud83d"``.
That is grammatical (RFC 8259 section 8.2), but Python cannot encode such a string, nor can a
database take it. So U+FFFD stands for a lone surrogate, in both directions. A browser does the
same wherever it encodes a string (Web IDL, USVString).
"""

from __future__ import annotations

import re
from typing import Any

# Behind an even number of backslashes, or the backslash of the escape is itself escaped.
_ESCAPES = re.compile(
    rb"(?<!\\)(?P<backslashes>(?:\\\\)*)"
    rb"(?:\\u[dD][89abAB][0-9a-fA-F]{2}(?P<low>\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)


def mend_text(payload: bytes) -> bytes:
    r"""Return JSON text in which U+FFFD stands for each lone surrogate; of the same length.

    >>> mend_text(rb'"\ud83d\ude00 \ud83d"')
    b'"\\ud83d\\ude00 \\ufffd"'
    """
    return _ESCAPES.sub(_mend_escape, payload)


def mend_string(text: str) -> str:
    """Return a string in which U+FFFD stands for each lone surrogate.

    Two surrogates that belong together become the character.
    """
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def mend_values(value: Any) -> Any:
    """Return a copy of JSON data, of plain dicts, lists, tuples and strings, all mended."""
    if isinstance(value, str):
        return mend_string(value)
    if isinstance(value, dict):
        return {mend_values(key): mend_values(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [mend_values(item) for item in value]
    return value


def _mend_escape(match: re.Match[bytes]) -> bytes:
    if match["low"]:
        return match[0]
    return match["backslashes"] + rb"\ufffd"
