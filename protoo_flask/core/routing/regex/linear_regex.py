"""Regular expressions matched in time linear in the text.

Python's ``re`` backtracks: ``(a+)+b`` tries every way to split a run of ``a`` before it gives
up, and a peer may send a path that is such a run. This matcher backtracks, too, so it finds
the same match with the same groups. But it never tries the same (instruction, position) twice:
a pair that has failed once would fail again, and a pair that succeeds ends the search. So the
work is bounded by the length of the program times the length of the text.

It takes some microseconds for each character. So it serves only the expressions that may
backtrack in ``re``: see :mod:`.backtracking`. The parser is Python's own. Expressions that
nobody can match in linear time, such as backreferences, are refused.
"""

from __future__ import annotations

import functools
import re
from typing import Any, Pattern

from .effort import Effort
from .parser import op, parser

#: The most instructions of a program, in which counted repeats are written out. The patterns
#: of real sites stay far below.
MAX_PROGRAM = 500

#: The most characters that a lookahead may take: it may run at every position.
MAX_LOOKAHEAD = 32


class NotLinear(ValueError):
    """The expression has a part without a linear matcher."""


#: More steps than there are.
_UNLIMITED = 1 << 62

#: The steps that the beginning of a run costs.
_START = 4

#: Instructions are (kind, argument, argument).
CHAR, SPLIT, JUMP, SAVE, AT, LOOK, ADVANCED, MATCH = range(8)


#: The parts of a parsed expression that take one character.
CHARACTERS = (op.LITERAL, op.NOT_LITERAL, op.ANY, op.IN)


class LinearMatch:
    """A match, with the methods of ``re.Match`` that a path pattern needs."""

    __slots__ = ("_groups", "_text")

    def __init__(self, text: str, groups: tuple[str | None, ...]) -> None:
        self._text = text
        self._groups = groups

    def group(self) -> str:
        return self._text

    def groups(self) -> tuple[str | None, ...]:
        return self._groups


class LinearRegex:
    """A compiled expression, searched in linear time.

    >>> LinearRegex(re.compile("(a+)+b")).search("aaab").group()
    'aaab'

    :raises NotLinear: for backreferences, lookbehind, possessive repeats, and lookahead of
        any length.
    """

    __slots__ = ("_anchored", "_group_slots", "_program", "_slots")

    def __init__(self, pattern: Pattern[str]) -> None:
        tree = parser.parse(pattern.pattern, pattern.flags)
        compiler = Compiler(2 * pattern.groups)
        compiler.compile(tree, pattern.flags)
        compiler.emit(MATCH)
        self._program = compiler.program
        self._slots = compiler.slots
        self._group_slots = range(0, 2 * pattern.groups, 2)
        # Only an attempt at the beginning of the text can succeed.
        self._anchored = is_anchored(tree, pattern.flags)

    def search(self, text: str, effort: Effort | None = None) -> LinearMatch | None:
        """Find the first match, as ``re.search`` does.

        :param effort: of the request; without one, there is no limit.
        :raises CostlyPath: when no effort is left.
        """
        effort = effort or Effort(_UNLIMITED)
        # Shared by all attempts: a way that has failed in one attempt fails in the next.
        visited: set[int] = set()
        for start in range(1 if self._anchored else len(text) + 1):
            slots = [-1] * self._slots
            end = _run(self._program, text, start, slots, visited, effort)
            if end >= 0:
                groups = [
                    text[slots[index] : slots[index + 1]] if slots[index + 1] >= 0 else None
                    for index in self._group_slots
                ]
                return LinearMatch(text[start:end], tuple(groups))
        return None


def is_anchored(tree: Any, flags: int) -> bool:
    """Whether a parsed expression can only match at the beginning of the text."""
    if not tree or tree[0][0] is not op.AT:
        return False
    where = tree[0][1]
    return where is op.AT_BEGINNING_STRING or (
        where is op.AT_BEGINNING and not flags & re.MULTILINE
    )


class Compiler:
    """Writes the program of a parsed expression.

    :ivar slots: how many positions a run keeps: two for each group, then one for each loop
        with a body that may match nothing.
    """

    def __init__(self, slots: int) -> None:
        self.program: list[tuple[int, Any, Any]] = []
        self.slots = slots

    def emit(self, kind: int, first: Any = None, second: Any = None) -> int:
        """Append an instruction; returns its address."""
        if len(self.program) >= MAX_PROGRAM:
            raise NotLinear(f"it has more than {MAX_PROGRAM} steps when repeats are written out")
        self.program.append((kind, first, second))
        return len(self.program) - 1

    def compile(self, tree: Any, flags: int) -> None:
        for kind, argument in tree:
            if kind in CHARACTERS:
                self.emit(
                    CHAR, character_class(class_source(kind, argument), flags & CHARACTER_FLAGS)
                )
            elif kind is op.BRANCH:
                self._compile_branch(argument[1], flags)
            elif kind is op.SUBPATTERN:
                self._compile_group(argument, flags)
            elif kind in (op.MAX_REPEAT, op.MIN_REPEAT):
                self._compile_repeat(argument, kind is op.MAX_REPEAT, flags)
            elif kind is op.AT:
                self.emit(AT, re.compile(_AT_SOURCE[argument], flags & CHARACTER_FLAGS).match)
            elif kind in (op.ASSERT, op.ASSERT_NOT):
                self._compile_lookahead(argument, kind is op.ASSERT, flags)
            else:
                raise NotLinear(f"{str(kind).lower()} cannot be matched in linear time")

    def _compile_branch(self, branches: Any, flags: int) -> None:
        exits = []
        for branch in branches[:-1]:
            split = self.emit(SPLIT)
            self.compile(branch, flags)
            exits.append(self.emit(JUMP))
            self.program[split] = (SPLIT, split + 1, len(self.program))
        self.compile(branches[-1], flags)
        for address in exits:
            self.program[address] = (JUMP, len(self.program), None)

    def _compile_group(self, argument: Any, flags: int) -> None:
        group, added, removed, body = argument
        inner = (flags | added) & ~removed
        if group is None:
            self.compile(body, inner)
            return
        self.emit(SAVE, 2 * group - 2)
        self.compile(body, inner)
        self.emit(SAVE, 2 * group - 1)

    def _compile_repeat(self, argument: Any, greedy: bool, flags: int) -> None:
        least, most, body = argument
        for _ in range(least):
            self.compile(body, flags)
        if most is op.MAXREPEAT:
            self._compile_loop(body, greedy, flags)
            return
        splits = []
        for _ in range(most - least):
            splits.append(self.emit(SPLIT))
            self.compile(body, flags)
        for address in splits:
            self._set_split(address, len(self.program), greedy)

    def _compile_loop(self, body: Any, greedy: bool, flags: int) -> None:
        split = self.emit(SPLIT)
        may_be_empty = body.getwidth()[0] == 0
        if may_be_empty:
            slot, self.slots = self.slots, self.slots + 1
            self.emit(SAVE, slot)
        self.compile(body, flags)
        if may_be_empty:
            # A round that matches nothing ends the loop: the next round would do the same.
            self.emit(ADVANCED, slot, len(self.program) + 2)
        self.emit(JUMP, split)
        self._set_split(split, len(self.program), greedy)

    def _set_split(self, address: int, end: int, greedy: bool) -> None:
        ways = (address + 1, end) if greedy else (end, address + 1)
        self.program[address] = (SPLIT, *ways)

    def _compile_lookahead(self, argument: Any, wanted: bool, flags: int) -> None:
        direction, body = argument
        if direction < 0:
            raise NotLinear("lookbehind cannot be matched in linear time")
        if body.getwidth()[1] > MAX_LOOKAHEAD:
            raise NotLinear("lookahead of any length cannot be matched in linear time")
        inner = Compiler(self.slots)
        inner.compile(body, flags)
        inner.emit(MATCH)
        self.emit(LOOK, inner, wanted)


class CharacterClass:
    """The characters that an instruction takes; ``re`` itself decides, once for each of ASCII."""

    __slots__ = ("_ascii", "_match")

    def __init__(self, source: str, flags: int) -> None:
        self._match = re.compile(source, flags).match
        self._ascii = [self._match(chr(code)) is not None for code in range(128)]

    def __call__(self, character: str) -> bool:
        code = ord(character)
        return self._ascii[code] if code < 128 else self._match(character) is not None

    @property
    def ascii(self) -> int:
        """The ASCII characters that it takes, as bits of an integer."""
        return sum(1 << code for code, taken in enumerate(self._ascii) if taken)


#: A site has few different classes, each of them in hundreds of patterns.
character_class = functools.lru_cache(maxsize=1024)(CharacterClass)


#: The flags with an effect on a single character or position.
CHARACTER_FLAGS = re.IGNORECASE | re.ASCII | re.DOTALL | re.MULTILINE

_AT_SOURCE = {
    op.AT_BEGINNING: "^",
    op.AT_BEGINNING_STRING: r"\A",
    op.AT_BOUNDARY: r"\b",
    op.AT_NON_BOUNDARY: r"\B",
    op.AT_END: "$",
    op.AT_END_STRING: r"\Z",
}

_CATEGORY_SOURCE = {
    op.CATEGORY_DIGIT: r"\d",
    op.CATEGORY_NOT_DIGIT: r"\D",
    op.CATEGORY_SPACE: r"\s",
    op.CATEGORY_NOT_SPACE: r"\S",
    op.CATEGORY_WORD: r"\w",
    op.CATEGORY_NOT_WORD: r"\W",
}


def class_source(kind: Any, argument: Any) -> str:
    """Write the expression of one character as a pattern again."""
    if kind is op.LITERAL:
        return _escape(argument)
    if kind is op.NOT_LITERAL:
        return f"[^{_escape(argument)}]"
    if kind is op.ANY:
        return "."
    source = ""
    for item, value in argument:
        if item is op.NEGATE:
            source += "^"
        elif item is op.LITERAL:
            source += _escape(value)
        elif item is op.RANGE:
            source += f"{_escape(value[0])}-{_escape(value[1])}"
        else:
            source += _CATEGORY_SOURCE[value]
    return f"[{source}]"


def _escape(code: int) -> str:
    return f"\\U{code:08x}"


def _run(
    program: list[tuple[int, Any, Any]],
    text: str,
    position: int,
    slots: list[int],
    visited: set[int],
    effort: Effort,
) -> int:
    """Run a program at ``position``; returns where it matched, or -1.

    :param slots: filled with the beginnings and ends of the groups.
    :param visited: the splits that have been tried, as ``address * (len(text) + 1) +
        position``. Every other instruction has one way to go on, and needs no memory.
    :param effort: is spent, a step for each instruction.
    """
    width = len(text) + 1
    # The things to do when the current way fails. An entry (address, position) goes on there;
    # an entry with a negative address gives a slot its old value back.
    stack: list[tuple[int, int]] = []
    address = 0
    left = effort.left - _START
    while True:
        left -= 1
        if left < 0:
            effort.spend(effort.left + 1)
        kind, first, second = program[address]
        address += 1
        failed = False
        if kind == CHAR:
            failed = position == len(text) or not first(text[position])
            position += 1
        elif kind == SPLIT:
            key = address * width + position
            failed = key in visited
            visited.add(key)
            stack.append((second, position))
            address = first
            if failed:
                stack.pop()
        elif kind == JUMP:
            address = first
        elif kind == SAVE:
            stack.append((-first - 1, slots[first]))
            slots[first] = position
        elif kind == ADVANCED:
            if slots[first] == position:
                address = second
        elif kind == AT:
            failed = first(text, position) is None
        elif kind == LOOK:
            effort.left = left
            ahead = _run(first.program, text, position, [-1] * first.slots, set(), effort)
            left = effort.left
            failed = (ahead >= 0) is not second
        else:
            effort.left = left
            return position
        while failed:
            if not stack:
                effort.left = left
                return -1
            address, position = stack.pop()
            if address < 0:
                slots[-address - 1] = position
            else:
                failed = False
