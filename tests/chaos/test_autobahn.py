"""The line of the report about the Autobahn test suite."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from .autobahn import describe


@pytest.mark.parametrize(
    ("status", "reason", "counts", "surprises", "line", "wrong"),
    [
        ("not run", "no wstest here", {}, [], "not run: no wstest here", []),
        ("passed", "", {"gevent": {"OK": 7, "NON-STRICT": 1}}, [], None, []),
        ("failed", "no case", {}, [], "failed: no case", ["autobahn: no case"]),
        ("failed", "1 case", {}, ["1.1: FAILED"], "failed: 1 case", ["autobahn: 1.1: FAILED"]),
    ],
)
def test_an_outcome_is_a_line_and_what_is_wrong(status, reason, counts, surprises, line, wrong):
    summary = SimpleNamespace(status=status, reason=reason, counts=counts, surprises=surprises)
    expected = line or "passed; gevent: 1 NON-STRICT, 7 OK"
    assert describe(summary) == (expected, wrong)
