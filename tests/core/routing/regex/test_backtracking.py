"""Expressions that ``re`` matches in linear time, and expressions that may backtrack."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protoo_flask.core.routing.matching.patterns import _Translator
from protoo_flask.core.routing.regex import linear_regex
from protoo_flask.core.routing.regex.backtracking import backtracks
from protoo_flask.core.routing.regex.effort import Effort
from protoo_flask.core.routing.regex.linear_regex import LinearRegex

LINEAR = [
    r"\A/users\Z",
    r"\A/users/([^/]+?)/?\Z",
    r"\A(?:/([^/]+?))(?:/([^/]+?))?(?:/([^/]+?))?/?\Z",
    r"^/item/(\d+)-(\w+)$",
    r"^/(?:a|b|c)*d",
    r"^/(?:ab|cd)+$",
    r"^/a*b*c*$",
    r"^/.*",
    r"^/(.*)$",
    r"^/(.*)/x",  # one repeat with several ends
    r"^/(?:a|ab)(?:c|bcd)",  # few choices
    r"\A(?:(?!/|-).)+?\Z",
    r"\A/([^/]+?)-([^/-]+?)/?\Z",  # a repeat that ends at each "-", and others that end at the next
    r"\A/([^/]+?)-([^/-]+?)-([^/-]+?)(?:-([^/-]+?))?/?\Z",
    r"^/(.*)-(?:[ab]|cd)*$",
    r"^/(?i:k)+\d",
]

NOT_LINEAR = [
    r"a",  # not anchored: search() starts at every position
    r"a+$",
    r"(?m)^a",
    r"^a|b",
    r"^(a+)+$",
    r"^(a*)*$",
    r"^(?:a|a)*b",
    r"^(?:a|aa)+$",
    r"^(?:a?b?)*c",
    r"^.*.*x",
    r"^.*a+x",
    r"^/([^/]+)-([^/]+)-([^/]+)x",
    r"^/([^/]+)-([^/]+)$",
    r"^/([^/]+)-(?:a|-)*x",
    r"^/([^/]+)-(?:ab-)*x",
    r"^/([^/]+)[-.]([^/.]+)/x",
    r"^/([^/]+)-\d+([^/.]+)/x",  # \d+ ends at "-", the repeat after it does not
    r"^(?:ab*)+b",
    r"^(?:a?){32}b",
    r"^(?:a|a)(?:a|a)(?:a|a)(?:a|a)(?:a|a)b",  # many choices
    r"^(?i:k)*\u212a*x",  # the Kelvin sign is a "k"
    r"^(?!(?:a|a){31}b)x",
    r"^(?=(?:a?){30}b)a",
    r"^(?!.*x)a",
    r"^(a)\1*",
    r"^a(?<=a)b",
]


@pytest.mark.parametrize("expression", LINEAR)
def test_an_expression_with_one_way_to_match_does_not_backtrack(expression):
    assert not backtracks(re.compile(expression))


@pytest.mark.parametrize("expression", NOT_LINEAR)
def test_an_expression_with_many_ways_to_match_may_backtrack(expression):
    assert backtracks(re.compile(expression))


class Forgetful(set):  # type: ignore[type-arg]
    """The memory of a matcher that tries everything again, as ``re`` does."""

    def __contains__(self, item: Any) -> bool:
        return False


def search_like_re(expression: str, text: str, monkeypatch: Any, steps: int) -> None:
    """Backtrack.

    :raises CostlyPath: when that takes more steps.
    """
    run = linear_regex._run
    with monkeypatch.context() as patched:
        patched.setattr(
            linear_regex,
            "_run",
            lambda program, text, position, slots, visited, effort: run(
                program, text, position, slots, Forgetful(), effort
            ),
        )
        LinearRegex(re.compile(expression)).search(text, Effort(steps))


#: Parts of path patterns, and of the texts that they meet.
PIECES = ["/", "-", ".", "x", "ab", ":p", ":q?", ":r(\\d+)", ":s([^-]+)", "*", "(?:-|a)", "b?"]
TEXTS = ["/", "-", ".", "x", "ab", "7", "a-", "x.", "-.", "/a-7"]


@given(st.lists(st.sampled_from(PIECES), max_size=7), st.lists(st.sampled_from(TEXTS), min_size=1))
def test_no_path_lets_re_backtrack_in_a_pattern_that_it_is_given(pieces, texts):
    try:
        regex, _ = _Translator("/" + "".join(pieces)).compile(True, False, False)
    except ValueError:
        return
    if backtracks(regex):
        return
    text = "/" + ("".join(texts) * 300)[:300]
    with pytest.MonkeyPatch.context() as monkeypatch:
        program = len(LinearRegex(regex)._program)
        search_like_re(regex.pattern, text, monkeypatch, 16 * program * len(text))
