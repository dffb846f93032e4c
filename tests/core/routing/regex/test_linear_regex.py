"""The linear matcher: the same matches as ``re``, in bounded work, or a refusal."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protoo_flask.core.errors import PatternError
from protoo_flask.core.routing.matching.patterns import compile_pattern
from protoo_flask.core.routing.regex import linear_regex
from protoo_flask.core.routing.regex.linear_regex import LinearRegex, NotLinear

#: Expressions of one character, so that no repeat below repeats nothing: Python versions differ
#: in the groups of such repeats.
characters = st.sampled_from(["a", "b", "/", ".", "[^/]", "[ab]", r"\w", r"\d", "[^a]", "-"])
assertions = st.sampled_from(["^", "$", r"\b", r"\B", r"\Z", "(?=a)", "(?!ab)", "(?!/|-)"])
quantifiers = st.sampled_from(["*", "+", "?", "*?", "+?", "??", "{2}", "{1,3}", "{0,2}?", "{2,}"])


def extend(inner):
    return st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda two: f"(?:{two[0]}|{two[1]})"),
        inner.map(lambda one: f"({one})"),
        st.tuples(characters, quantifiers, characters).map("".join),
        st.tuples(inner, characters, quantifiers).map(lambda it: f"(?:{it[0]}{it[1]}){it[2]}"),
        st.tuples(inner, assertions).map("".join),
        inner.map(lambda one: f"(?i:{one})"),
    )


expressions = st.recursive(characters, extend, max_leaves=8)
flags = st.sampled_from([re.NOFLAG if hasattr(re, "NOFLAG") else 0, re.I, re.M, re.S, re.A])


@given(expressions, st.booleans(), flags, st.text("aab/-1A\né", max_size=12))
@example("(a+)+b", True, 0, "aaab")
@example("(a|ab)(c|bcd)(d*)", False, 0, "abcd")
@example("(?:(a)|b)*", False, 0, "ab")
def test_the_linear_matcher_finds_the_matches_of_re(expression, anchored, flags, text):
    pattern = re.compile(f"^{expression}" if anchored else expression, flags)
    wanted, found = pattern.search(text), LinearRegex(pattern).search(text)
    assert (found is None) == (wanted is None)
    if wanted is not None:
        assert (found.group(), found.groups()) == (wanted.group(), wanted.groups())


class CountedProgram(list):
    """A program that counts the instructions that are run."""

    steps = 0

    def __getitem__(self, address):
        self.steps += 1
        return super().__getitem__(address)


def steps_of(expression, text):
    regex = LinearRegex(re.compile(expression))
    regex._program = counted = CountedProgram(regex._program)
    assert regex.search(text) is None
    assert counted.steps > 0
    return counted.steps


@pytest.mark.parametrize(
    ("expression", "piece"),
    [
        ("^(a+)+$", "a"),
        ("^(a|a)*b", "a"),
        ("(a*)*b", "a"),
        ("^(a|aa)+$", "a"),
        ("(x+x+)+y", "x"),
        ("^/.*/.*/.*/.*x$", "/"),
        ("a?a?a?a?a?a?a?a?aaaaaaaab", "a"),
        ("(?:(?!/|-).)+?-(?:(?!/|-).)+?-x", "ab"),
        (".*.*=.*", "ab"),
    ],
)
def test_twice_the_text_is_at_most_twice_the_work(expression, piece):
    short = steps_of(expression, piece * 200 + "!")
    long = steps_of(expression, piece * 400 + "!")
    assert long <= 2.1 * short


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        (re.compile(r"^/(a+)+$"), "/" + "a" * 4000 + "!"),
        (re.compile(r"^/(\w+\s?)*$"), "/" + "a" * 4000 + "!"),
        (re.compile(r"(.*a){12}b"), "/" + "a" * 300),
        ("/:a--:b--:c--:d--:e", "/" + "x--" * 1300 + "/y"),
        ("/*/*/*/*/*/x", "/" * 1000),
        ("/:a(.*):b(.*):c(.*)x", "/" + "a" * 1000),
        ("/(a+)+b", "/" + "a" * 4000),
    ],
    ids=str,
)
def test_a_pattern_that_would_backtrack_is_given_to_the_linear_matcher(pattern, path, monkeypatch):
    runs = []
    run = linear_regex._run
    monkeypatch.setattr(linear_regex, "_run", lambda *args: (runs.append(args[1]), run(*args))[1])
    # With re, each of these would outlast the test suite.
    assert compile_pattern(pattern, end=True).match(path) is None
    assert runs


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        (r"(a+)+\1$", "groupref"),
        (r"(a*)*(?<=a)b", "lookbehind"),
        (r"(a*)*(?=.*b)", "lookahead of any length"),
        (r"(a*)*(b)?(?(2)c|d)", "groupref_exists"),
        (r"(a*)*b{3000}", "more than 500 steps"),
        (r"(?:(?:a{50}){50}){50}", "more than 500 steps"),
    ],
)
def test_an_expression_without_a_linear_matcher_is_refused(expression, reason):
    with pytest.raises(NotLinear, match=reason):
        LinearRegex(re.compile(expression))
    with pytest.raises(PatternError, match="could keep the server busy"):
        compile_pattern(re.compile(expression), end=True)
