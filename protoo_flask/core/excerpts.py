r"""Excerpts: untrusted texts and values, made fit for a line of a log, an error or a reason.

A peer chooses its method, path, data and often its username and uuid. In a log, a newline
begins a line that nobody has written, ``ESC [`` moves the cursor of the terminal, U+202E turns
the rest of the line around, and 60 kilobytes hide everything else. So each of these texts goes
into logs, errors and reprs as an excerpt: escaped, on one line, and cut.

>>> excerpt("get\n2026-01-01 root logged in")
'get\\n2026-01-01 root logged in'
"""

from __future__ import annotations

import re

#: Characters of an excerpt, besides the note about the characters that are left out. It is the
#: length of the longest uuid; the methods, paths and names of real sites are shorter.
MAX_LENGTH = 128

#: The same for an error. The texts of our own are the longest, as they show the way out.
MAX_ERROR_LENGTH = 600

#: Everything that ``str.isprintable()`` may refuse; most of it is looked at in :func:`_escape`.
_UNPLAIN = re.compile(r"[^\x20-\x7e]")


def excerpt(text: str) -> str:
    r"""Return a text as a part of one line: unprintable characters and backslashes escaped.

    >>> excerpt("Zoë"), excerpt("a\x1b[2J\u202e"), excerpt("x" * 60000)[-20:]
    ('Zoë', 'a\\x1b[2J\\u202e', 'xxxx... (59872 more)')
    """
    if not isinstance(text, str):
        return excerpt_of(text)  # the site may put anything into req.method, and a repr never fails
    if len(text) <= MAX_LENGTH and text.isprintable() and "\\" not in text:
        return text
    return _cut(text[:MAX_LENGTH].replace("\\", "\\\\"), len(text) - MAX_LENGTH)


def excerpt_of(value: object, limit: int = MAX_LENGTH) -> str:
    """Return the ``repr()`` of a value as a part of one line; never raises an Exception.

    :param limit: characters.

    >>> excerpt_of({"text": "hi"})
    "{'text': 'hi'}"
    """
    kind = type(value)
    left_out = 0
    if kind is str or kind is bytes:
        left_out = max(len(value) - limit, 0)  # type: ignore[arg-type]
        value = value[:limit]  # type: ignore[index]
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001
        return f"<{kind.__name__}, whose repr() failed with {type(error).__name__}>"
    if not left_out and len(text) <= limit and text.isprintable():
        return text
    return _cut(text[:limit], left_out + max(len(text) - limit, 0), limit)


def excerpt_of_error(error: object) -> str:
    """Return the ``repr()`` of an error, or of anything given to ``next()``, for the log.

    >>> excerpt_of_error(ValueError("x"))
    "ValueError('x')"
    """
    return excerpt_of(error, MAX_ERROR_LENGTH)


def escape(text: str) -> str:
    r"""Return a text with its unprintable characters escaped, and not cut.

    >>> escape("Zoë \x1b[2J")
    'Zoë \\x1b[2J'
    """
    return _UNPLAIN.sub(_escape, text)


def _cut(text: str, left_out: int, limit: int = MAX_LENGTH) -> str:
    """Escape a text, and cut it; the end tells how much is missing.

    :param left_out: characters that have been left out already; negative: none.
    """
    text = escape(text)
    left_out = max(left_out, 0) + max(len(text) - limit, 0)
    return f"{text[:limit]}... ({left_out} more)" if left_out else text


def _escape(found: re.Match[str]) -> str:
    character = found.group()
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")
