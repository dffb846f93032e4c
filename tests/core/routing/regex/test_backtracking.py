"""Expressions that ``re`` matches in linear time, and expressions that may backtrack."""

from __future__ import annotations

import re

import pytest

from protoo_flask.core.routing.regex.backtracking import backtracks

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
