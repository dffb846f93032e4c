"""Path patterns of other frameworks, which would be taken as literal text here.

Flask writes ``/users/<username>``, and others write ``/users/{username}``. Neither form means
anything in the path language of Express 4, so such a pattern would match no path that a client
sends, in silence.
"""

from __future__ import annotations

import re
from typing import Any

from ...errors import PatternError

#: A parameter of Flask, ``<int:id>``, or of others, ``{id:int}``. Regular expressions have
#: ``(?P<name>...)``, ``(?<=...)`` and ``{2,3}`` instead, and ``\\<`` is the character itself.
_PARAMETER = re.compile(
    r"""
    (?<!\\)(?<!\(\?P)(?<!\(\?)
    (?: <(?:(?P<converter>[A-Za-z_]\w*)(?:\((?P<arguments>[^)]*)\))?:)?(?P<name>[A-Za-z_][\w-]*)>
      | \{(?P<braced>[A-Za-z_][\w-]*)(?::(?P<kind>[^{}]*))?\}
    )
    """,
    re.VERBOSE,
)

#: The forms of Flask's converters; any other one is left out.
_FORMS = {"int": r"(\d+)", "float": r"(\d+\.\d+)"}


def refuse_foreign_path(pattern: str) -> None:
    """Check that a pattern is not written for Flask or another framework.

    >>> refuse_foreign_path("/<name>")
    Traceback (most recent call last):
    protoo_flask.core.errors.PatternError: bad path pattern '/<name>': write /:name
        /<name>
         ^

    :raises PatternError: with the pattern that means the same here.
    """
    found = _PARAMETER.search(pattern)
    if found is not None:
        raise PatternError(pattern, f"write {_translate(pattern)}", found.start())


def _translate(pattern: str) -> str:
    return _PARAMETER.sub(_translate_parameter, pattern)


def _translate_parameter(found: Any) -> str:
    converter = found.group("converter") or found.group("kind")
    if converter == "path":
        return "*"
    form = _FORMS.get(converter, "")
    if converter == "any" and found.group("arguments"):
        form = f"({'|'.join(item.strip() for item in found.group('arguments').split(','))})"
    name = found.group("name") or found.group("braced")
    return f":{name.replace('-', '_')}{form}"
