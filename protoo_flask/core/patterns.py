"""Path patterns: ``"/users/:username/:uuid?"`` compiled to a matcher.

A pattern comes from the site's code, a path from a peer. Patterns are made of whole
segments, so that matching is one pass over the path whatever a peer sends:

=====================  ==========================================================
``/users/bob``         itself
``/users/:username``   one segment, whatever it is, as ``params["username"]``
``/:username/:uuid?``  the last segment may be missing, and then has no parameter
``re.compile(...)``    searched in the path, with its own flags
a list of these        the first that matches
=====================  ==========================================================

Matching follows Express 4: case-insensitive and tolerant of one trailing slash unless
told otherwise, percent-escapes decoded in parameters and left alone in literals.
"""

from __future__ import annotations

import re
from typing import Dict, Pattern, Sequence, Tuple, Union
from urllib.parse import unquote_to_bytes

from .errors import BadPath, PatternError

PathPattern = Union[str, Pattern[str], Sequence[Union[str, Pattern[str]]]]
Params = Dict[Union[str, int], str]

#: What a match gives: the part of the path that matched, and the parameters in it.
Match = Tuple[str, Params]

_SEGMENT = re.compile(r":(?P<name>\w+)(?P<optional>\?)?\Z|(?P<literal>[^:?*+()]*)\Z")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class Matcher:
    """A compiled pattern.

    :ivar keys: the names of its parameters, in order; unnamed groups are numbered.
    """

    __slots__ = ("_regexes", "keys")

    def __init__(self, regexes: Sequence[tuple[Pattern[str], Sequence[str | int]]]) -> None:
        self._regexes = regexes
        self.keys: tuple[str | int, ...] = tuple(key for _, keys in regexes for key in keys)

    def match(self, path: str) -> Match | None:
        """Match a path from a peer, untrusted.

        :raises BadPath: when a parameter does not decode.
        """
        for regex, keys in self._regexes:
            found = regex.search(path)
            if found is not None:
                params: Params = {}
                for key, value in zip(keys, found.groups()):
                    if value is not None:
                        params[key] = decode(value) if "%" in value else value
                return found.group(), params
        return None


def compile_pattern(
    pattern: PathPattern, *, end: bool, strict: bool = False, case_sensitive: bool = False
) -> Matcher:
    """Compile a pattern.

    :param end: match the whole path (a route), not a prefix up to a "/" (``use``).
    :param strict: a trailing slash makes a difference.

    >>> compile_pattern("/users/:username", end=True).match("/users/bob")
    ('/users/bob', {'username': 'bob'})

    :raises PatternError: with the place where the pattern is wrong.
    """
    alternatives: Sequence[str | Pattern[str]]
    alternatives = [pattern] if isinstance(pattern, (str, re.Pattern)) else list(pattern)
    if not alternatives:
        raise PatternError(pattern, "an empty list matches nothing")
    regexes: list[tuple[Pattern[str], Sequence[str | int]]] = []
    numbered = 0
    for alternative in alternatives:
        if isinstance(alternative, str):
            regexes.append(_compile_string(alternative, end, strict, case_sensitive))
            continue
        if not isinstance(alternative.pattern, str):
            raise PatternError(pattern, "a path is text, and this matches bytes")
        names = {index: name for name, index in alternative.groupindex.items()}
        keys: list[str | int] = []
        for index in range(1, alternative.groups + 1):
            if index in names:
                keys.append(names[index])
            else:
                keys.append(numbered)
                numbered += 1
        regexes.append((alternative, keys))
    return Matcher(regexes)


def _compile_string(
    pattern: str, end: bool, strict: bool, case_sensitive: bool
) -> tuple[Pattern[str], Sequence[str]]:
    if not pattern.startswith("/"):
        raise PatternError(pattern, 'a path starts with "/"', 0)
    body = (
        pattern if strict or len(pattern) == 1 else pattern[:-1] if pattern[-1] == "/" else pattern
    )
    source = ""
    keys: list[str] = []
    position = 0
    for segment in body.split("/")[1:]:
        position += 1
        parsed = _SEGMENT.match(segment)
        if parsed is None:
            raise PatternError(pattern, *_find_problem(segment, position))
        name = parsed.group("name")
        if name is None:
            source += "/" + re.escape(segment)
        else:
            keys.append(name)
            optional = parsed.group("optional") or ""
            source += f"(?:/([^/]+)){optional}"
        position += len(segment)
    if source == "/":
        source = ""
    if end:
        source += r"/?\Z" if not strict else r"\Z" if source else r"/\Z"
    else:
        source += r"(?=/|\Z)"
    return re.compile(r"\A" + source, 0 if case_sensitive else re.IGNORECASE), keys


def _find_problem(segment: str, position: int) -> tuple[str, int]:
    for index, character in enumerate(segment):
        if character == ":" and index == 0:
            if re.match(r":\w", segment) is None:
                return "a parameter has a name, as in /:username", position
            continue
        if character in ":*+()?":
            problem = (
                f"{character!r} cannot stand here; a segment is literal text, "
                "or one parameter like :name or :name?"
            )
            return problem, position + index
    return "a parameter's name is letters, digits and underscores", position


def decode(value: str) -> str:
    """Decode the percent-escapes of a parameter, as UTF-8.

    :raises BadPath: where JavaScript's ``decodeURIComponent`` raises.
    """
    if _BROKEN_ESCAPE.search(value) is None:
        try:
            return unquote_to_bytes(value).decode("utf-8")
        except UnicodeDecodeError:
            pass
    raise BadPath(f"path has a bad escape in {value!r}")
