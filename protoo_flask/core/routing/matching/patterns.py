"""Path patterns: the path language of Express 4, compiled to matchers.

A pattern comes from the site's code, a path from a peer. The language is that of
path-to-regexp 0.1.13: a pattern is a regular expression with some short forms, in which "."
is a dot.

===========================  ====================================================
``/users/bob``               itself
``/users/:username``         one segment, as ``params["username"]``
``/:username/:uuid?``        the last segment may be missing; then no parameter
``/:from-:to``, ``/:a.:b``   a parameter ends at the text between the two
``/item/:id(\\d+)``           a parameter of this form only
``/dir/:first*``             one segment, and the rest as ``params[0]``
``/dir/:last+``              one or more segments; the last is the parameter
``/file/*``                  anything, as ``params[0]``
``/ab?cd``, ``/ab+cd``       "b" or nothing; one or more "b"
``/(a|b)``, ``/a(bc)?``      a group; its text is a numbered parameter, except when
                             it begins right after a "/"
``re.compile(...)``          searched in the path, with its own flags: "." stops
                             at a newline, unless there is ``re.DOTALL``
a list of these              the first that matches
===========================  ====================================================

No path that a peer sends can keep a matcher busy: a pattern that ``re`` may not match in
linear time (``/*-*``, ``re.compile("(a+)+$")``) is matched by :mod:`.linear_regex`, and all
matchers that a request meets share its :mod:`effort <..regex.effort>`.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple, Pattern, Sequence, Union
from urllib.parse import unquote_to_bytes

from ...errors import BadPath, PatternError
from ...excerpts import excerpt_of
from ..regex.backtracking import backtracks
from ..regex.effort import DECODED_IN_A_STEP, MATCHED_IN_A_STEP, Effort
from ..regex.linear_regex import LinearRegex, NotLinear
from .foreign_paths import refuse_foreign_path
from .params import Key, NumberedParams, Params

PathPattern = Union[str, Pattern[str], Sequence[Union[str, Pattern[str]]]]

#: The parts of a pattern that are not already regular expressions, as in 0.1.13.
_TOKEN = re.compile(
    r"""
    (?P<escaped>\\.)
    | (?P<slash>/)?(?P<dot>\.)?:(?P<name>\w+)(?P<form>\(.*?\))?(?P<star>\*)?(?P<optional>\?)?
    | (?P<wildcard>\*)
    | (?P<literal_dot>\.)
    | (?P<group>/\()
    """,
    re.VERBOSE,
)
_DOUBLE_QUANTIFIER = re.compile(r"[?+}]\+")
_STAR_IN_FORM = re.compile(r"\\.|\*")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")

#: Characters that begin, end or divide groups and classes.
_GROUPING = frozenset("()[]|^$")


class Matcher:
    """A compiled pattern.

    :ivar keys: the names of its parameters, in order; unnamed groups are numbered.
    :ivar numbered: how many are numbered, in the alternative that has the most.
    :ivar is_slow: whether a short path, too, is matched by a matcher that counts its steps.
    """

    __slots__ = ("_alternatives", "is_slow", "keys", "numbered")

    def __init__(self, alternatives: Sequence[_Alternative]) -> None:
        self._alternatives = alternatives
        self.is_slow = any(item.slow is not None for item in alternatives)
        self.keys: tuple[Key, ...] = tuple(key for item in alternatives for key in item.keys)
        self.numbered = 1 + max((key for key in self.keys if isinstance(key, int)), default=-1)

    def match(self, path: str, effort: Effort | None = None) -> tuple[str, Params] | None:
        """Match a path from a peer, untrusted.

        :param effort: of the request, if this match is to be counted.
        :returns: the part of the path that matched, and the parameters in it.
        :raises BadPath: when a parameter does not decode.
        :raises CostlyPath: when no effort is left.
        """
        for search, slow, keys in self._alternatives:
            if slow is not None:
                found = slow.search(path, effort)
            else:
                if effort is not None:
                    effort.spend(len(path) // MATCHED_IN_A_STEP)
                found = search(path)
            if found is not None:
                params: Params = NumberedParams(self.numbered) if self.numbered else {}
                for key, value in zip(keys, found.groups()):
                    if value is not None:
                        if effort is not None and "%" in value:
                            effort.spend(len(value) // DECODED_IN_A_STEP)
                        params[key] = decode(value) if "%" in value else value
                return found.group(), params
        return None


class _Alternative(NamedTuple):
    """One pattern, with one of two matchers: that of ``re``, or the slow one."""

    search: Any
    slow: LinearRegex | None
    keys: list[Key]


def compile_pattern(
    pattern: PathPattern, *, end: bool, strict: bool = False, case_sensitive: bool = False
) -> Matcher:
    """Compile a pattern.

    :param end: match the whole path (a route), not a prefix up to a "/" (``use``).
    :param strict: a trailing slash makes a difference.

    >>> compile_pattern("/users/:username", end=True).match("/users/bob")
    ('/users/bob', {'username': 'bob'})

    :raises PatternError: with the position of the mistake in the pattern.
    """
    items = [pattern] if isinstance(pattern, (str, re.Pattern)) else list(pattern)
    if not items:
        raise PatternError(pattern, "an empty list matches nothing")
    alternatives = []
    for item in items:
        if isinstance(item, str):
            regex, names = _Translator(item).compile(end, strict, case_sensitive)
        elif isinstance(item.pattern, str):
            regex, names = item, {}
        else:
            raise PatternError(item, "a path is text, and this matches bytes")
        keys: list[Key] = []
        numbered = 0
        named = {index: name for name, index in regex.groupindex.items()}
        for index in range(1, regex.groups + 1):
            if index in named:
                keys.append(names.get(named[index], named[index]))
            else:
                keys.append(numbered)
                numbered += 1
        slow = _make_linear(item, regex) if backtracks(regex) else None
        alternatives.append(_Alternative(regex.search, slow, keys))
    return Matcher(alternatives)


def _make_linear(pattern: object, regex: Pattern[str]) -> LinearRegex:
    """Return a matcher that takes linear time in any text."""
    try:
        return LinearRegex(regex)
    except NotLinear as error:
        raise PatternError(
            getattr(pattern, "pattern", pattern),
            f"{error}, and a path that a peer has made for it could keep the server busy",
        ) from error


class _Translator:
    """Translates a pattern into a regular expression, piece by piece."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._source = ""
        #: The beginning of each piece: (in the regular expression, in the pattern).
        self._pieces: list[tuple[int, int]] = []
        #: {name of a group: name of its parameter}. Parameters may have any name, and
        #: the same twice; groups may not.
        self._names: dict[str, Key] = {}
        # The text between the last parameter of this segment and here.
        self._between = ""

    def compile(
        self, end: bool, strict: bool, case_sensitive: bool
    ) -> tuple[Pattern[str], dict[str, Key]]:
        pattern = self._pattern
        if pattern[:1] not in ("/", "*", "(", "\\"):
            raise PatternError(pattern, 'a path starts with "/"', 0)
        refuse_foreign_path(pattern)
        if not end and pattern == "/":
            return re.compile(r"\A"), {}  # a prefix of every path, and it removes nothing
        position = 0
        for token in _TOKEN.finditer(pattern):
            self._write_text(position, token.start())
            self._write_token(token)
            position = token.end()
        self._write_text(position, len(pattern))
        self._pieces.append((len(self._source), len(pattern)))
        # The wildcard takes every character that a parameter takes: newlines, too. Otherwise a
        # guard of "/item/*" would overlook a path that "/item/:id" takes.
        flags = re.DOTALL if case_sensitive else re.DOTALL | re.IGNORECASE
        # First without the tail, so that the position of an error is inside the pattern.
        self._compile(self._source, flags)
        if not strict:
            self._source += "?" if self._source.endswith("/") else "/?"
        if end:
            self._source += r"\Z"
        elif not self._source.endswith("/"):
            self._source += r"(?=/|\Z)"
        return self._compile(self._source, flags), self._names

    def _compile(self, source: str, flags: int) -> Pattern[str]:
        anchor = r"\A"
        try:
            return re.compile(anchor + source, flags)
        except re.error as error:
            position = self._find_position((error.pos or 0) - len(anchor))
            raise PatternError(self._pattern, error.msg, position) from error

    def _write(self, source: str, position: int) -> None:
        self._pieces.append((len(self._source), position))
        self._source += source

    def _write_text(self, start: int, end: int) -> None:
        """Write a piece of the pattern that is a regular expression already."""
        text = self._pattern[start:end]
        if ":" in text:
            raise PatternError(
                self._pattern, "a parameter has a name, as in /:username", start + text.index(":")
            )
        doubled = _DOUBLE_QUANTIFIER.search(text)
        if doubled:
            # From Python 3.11 on, this is possessive. The language of paths has no such thing.
            raise PatternError(self._pattern, "multiple repeat", start + doubled.end() - 1)
        if text:
            self._write(text, start)
            # Only plain text separates one parameter from the next: the text after the last
            # group or quantifier.
            *before, plain = re.split(r"[()?*+{}\[\]|^$]", text)
            if (self._between + text)[0] == "/" and not _GROUPING.intersection(text):
                self._between = "/"  # a parameter ends there anyway
            else:
                self._between = plain if before else self._between + plain

    def _write_token(self, token: Any) -> None:
        position = token.start()
        if token.group("escaped"):
            self._write(token.group(), position)
            self._between += token.group()
        elif token.group("wildcard"):
            self._write("(.*)", position)
            self._between = ""
        elif token.group("literal_dot"):
            self._write(r"\.", position)
            self._between += r"\."
        elif token.group("group"):
            self._write("/(?:", position)
            self._between = "/"
        else:
            self._write_parameter(token, position)

    def _write_parameter(self, token: Any, position: int) -> None:
        slash = token.group("slash") or ""
        dot = r"\." if token.group("dot") else ""
        if slash or dot:
            self._between = ""
        form = token.group("form")
        if form is not None:
            inner = _STAR_IN_FORM.sub(
                lambda found: "(.*)" if found.group() == "*" else found.group(), form[1:-1], 1
            )
        elif self._between and self._between[0] != "/":
            inner = _until(self._between)
        else:
            inner = f"[^/{dot}]+?"
        name = f"p{len(self._names)}"
        self._names[name] = token.group("name")
        rest = f"((?:[/{dot}].+?)?)" if token.group("star") else ""
        optional = token.group("optional") or ""
        self._between = ""
        self._write(f"(?:{dot}{slash}(?P<{name}>{inner}){rest}){optional}", position)

    def _find_position(self, position: int) -> int:
        """Return the position in the pattern for a position in the regular expression."""
        found = 0
        for begin, origin in self._pieces:
            if begin <= position:
                found = min(origin + position - begin, max(len(self._pattern) - 1, 0))
        return found


def _until(text: str) -> str:
    """Return the expression of a parameter that ends before ``text`` or a "/"."""
    if (len(text) == 1 and text.isalnum()) or text in ("-", "_", "~", "@", "=", ",", ";", "!"):
        return f"[^/{re.escape(text)}]+?"
    return f"(?:(?!/|{text}).)+?"


def decode(value: str) -> str:
    """Decode the percent-escapes of a parameter, as UTF-8.

    :raises BadPath: in the cases in which JavaScript's ``decodeURIComponent`` raises.
    """
    if _BROKEN_ESCAPE.search(value) is None:
        try:
            return unquote_to_bytes(value).decode("utf-8")
        except UnicodeDecodeError:
            pass
    raise BadPath(f"path has a bad escape in {excerpt_of(value)}")
