"""Backtracking: whether ``re`` may need more than linear time for an expression.

``re`` tries one way after another, and goes back when a way fails. It needs linear time when
the next character always decides the way, because then it never goes back. So this module
compares the characters that each repeat can take with the characters that can follow it. If
the two sets have no character in common, the repeat has one way to end. A single repeat with
several ways to end is fine, too, if nothing after it can run over the text again: no other repeat
takes the characters that end it. In ``/:a-:b``, "a" may end at each "-", and "b" is tried there,
but each "b" ends at the next "-".

The answer is on the safe side: an expression that may backtrack, by this answer, may still be
fast. It is matched by :mod:`.linear_regex`.
"""

from __future__ import annotations

import re
from typing import Any, Pattern

from .linear_regex import (
    CHARACTER_FLAGS,
    CHARACTERS,
    MAX_LOOKAHEAD,
    character_class,
    class_source,
    is_anchored,
)
from .parser import op, parser

#: Sets of characters are integers: one bit for each ASCII character, and one for all others.
EVERYTHING = (1 << 129) - 1
_OTHERS = 1 << 128

#: The most optional parts and alternatives that may be tried in vain. Each one may double the
#: work of the others, so only a few are allowed.
MAX_CHOICES = 4


class _MayBacktrack(Exception):
    """The next character does not decide the way."""


def backtracks(pattern: Pattern[str]) -> bool:
    """Whether ``pattern.search(text)`` may need more than time linear in the text.

    >>> backtracks(re.compile("^/users/([^/]+?)/?$")), backtracks(re.compile("^(a+)+$"))
    (False, True)
    """
    tree: Any = parser.parse(pattern.pattern, pattern.flags)
    if not is_anchored(tree, pattern.flags):
        return True  # search() would start again at every position
    analysis = _Analysis()
    try:
        # Nothing can fail after the end of the expression.
        analysis.check(tree, 0, pattern.flags, in_loop=False)
    except _MayBacktrack:
        return True
    return analysis.choices > MAX_CHOICES


class _Analysis:
    def __init__(self) -> None:
        self.choices = 0
        #: The characters that may follow a repeat with several ways to end; 0 before there is one.
        self.separators = 0

    def check(self, tree: Any, follow: int, flags: int, in_loop: bool) -> None:
        """Check a sequence that is followed by one of the characters ``follow``."""
        items = list(tree)
        for index, (kind, argument) in enumerate(items):
            after = _first(items[index + 1 :], follow, flags)
            if kind in CHARACTERS or kind is op.AT:
                continue
            if kind is op.SUBPATTERN:
                _, added, removed, body = argument
                self.check(body, after, (flags | added) & ~removed, in_loop)
            elif kind is op.BRANCH:
                self._check_branch(argument[1], after, flags, in_loop)
            elif kind in (op.MAX_REPEAT, op.MIN_REPEAT):
                self._check_repeat(argument, after, flags, in_loop)
            elif kind in (op.ASSERT, op.ASSERT_NOT):
                if argument[0] < 0 or argument[1].getwidth()[1] > MAX_LOOKAHEAD:
                    raise _MayBacktrack
                # It may run at every position, so it may have no choice in it at all.
                self.check(argument[1], 0, flags, in_loop=True)
            else:
                raise _MayBacktrack

    def _check_branch(self, branches: Any, after: int, flags: int, in_loop: bool) -> None:
        seen = 0
        for branch in branches:
            first = _first(branch, after, flags)
            if first & seen:
                self._choose(in_loop)
            seen |= first
            self.check(branch, after, flags, in_loop)

    def _check_repeat(self, argument: Any, after: int, flags: int, in_loop: bool) -> None:
        _, most, body = argument
        first = _first(body, 0, flags)
        decided = not first & after and body.getwidth()[0] > 0
        if most == 1:
            if not decided:
                self._choose(in_loop)
            self.check(body, after, flags, in_loop)
            return
        if self.separators & _taken(body, flags):
            raise _MayBacktrack  # it would run over the same text for each end of the repeat before
        if decided:
            self.check(body, first | after, flags, in_loop=True)
        elif in_loop or self.separators or not _is_character(body):
            raise _MayBacktrack
        else:
            self.separators = after

    def _choose(self, in_loop: bool) -> None:
        if in_loop:
            raise _MayBacktrack
        self.choices += 1


def _is_character(tree: Any) -> bool:
    while len(tree) == 1 and tree[0][0] is op.SUBPATTERN:
        tree = tree[0][1][3]
    return len(tree) == 1 and tree[0][0] in CHARACTERS


def _taken(tree: Any, flags: int) -> int:
    """Return the characters that a sequence may take anywhere."""
    taken = 0
    for kind, argument in tree:
        if kind in CHARACTERS:
            taken |= _characters(kind, argument, flags)
        elif kind is op.SUBPATTERN:
            _, added, removed, body = argument
            taken |= _taken(body, (flags | added) & ~removed)
        elif kind is op.BRANCH:
            for branch in argument[1]:
                taken |= _taken(branch, flags)
        elif kind in (op.MAX_REPEAT, op.MIN_REPEAT):
            taken |= _taken(argument[2], flags)
        elif kind not in (op.AT, op.ASSERT, op.ASSERT_NOT):
            taken = EVERYTHING
    return taken


def _first(tree: Any, follow: int, flags: int) -> int:
    """Return the characters that a sequence, followed by ``follow``, may begin with."""
    for kind, argument in reversed(list(tree)):
        if kind in CHARACTERS:
            follow = _characters(kind, argument, flags)
        elif kind is op.SUBPATTERN:
            _, added, removed, body = argument
            follow = _first(body, follow, (flags | added) & ~removed)
        elif kind is op.BRANCH:
            union = 0
            for branch in argument[1]:
                union |= _first(branch, follow, flags)
            follow = union
        elif kind in (op.MAX_REPEAT, op.MIN_REPEAT):
            least, _, body = argument
            first = _first(body, follow, flags)
            follow = first if least else first | follow
        elif kind is op.ASSERT and argument[0] > 0:
            follow = _first(argument[1], EVERYTHING, flags)
        elif kind is op.AT and argument is op.AT_END_STRING:
            follow = 0
        elif kind is op.AT and argument is op.AT_END:
            follow = 1 << ord("\n")
        elif kind not in (op.AT, op.ASSERT, op.ASSERT_NOT):
            follow = EVERYTHING
    return follow


def _characters(kind: Any, argument: Any, flags: int) -> int:
    ascii = character_class(class_source(kind, argument), flags & CHARACTER_FLAGS).ascii
    return ascii | _OTHERS if _takes_others(kind, argument, flags) else ascii


def _takes_others(kind: Any, argument: Any, flags: int) -> bool:
    """Whether an expression of one character may take one beyond ASCII."""
    if kind is op.LITERAL:
        # re treats the Kelvin sign as a "k", the long s as an "s", and the dotted I as an "i".
        return bool(argument > 127 or (flags & re.IGNORECASE and chr(argument) in "kKsSiI"))
    if kind is op.IN:
        return any(_item_takes_others(item, value, flags) for item, value in argument)
    return True


def _item_takes_others(item: Any, value: Any, flags: int) -> bool:
    if item is op.LITERAL:
        return _takes_others(item, value, flags)
    if item is op.RANGE:
        return bool(value[1] > 127 or flags & re.IGNORECASE)
    return True
