"""docs/testing.md and the README tell the truth: their tests run, and copies are copies."""

from __future__ import annotations

import re
import unittest

import pytest

from .servers.processes import ROOT

pytest_plugins = ["pytester"]

PAGE = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")

BLOCK = re.compile(r"<!-- (\w+)(?:: ([\w.]+))? -->\n```python\n(.*?)```", re.DOTALL)
BLOCKS = BLOCK.findall(PAGE)
(CONFTEST,) = [source for kind, _, source in BLOCKS if kind == "conftest"]
TESTS = {name: source for kind, name, source in BLOCKS if kind == "test"}
README = (ROOT / "README.md").read_text(encoding="utf-8")
((_, _, TESTS["readme"]),) = BLOCK.findall(README[README.index("<!-- test -->") :])
(UNITTEST,) = [source for kind, _, source in BLOCKS if kind == "unittest"]
SAMPLES = [(name, source) for kind, name, source in BLOCKS if kind == "sample"]


def test_every_block_is_checked():
    fragments = PAGE.count("\n\n```python")  # without a mark: of a test that stands elsewhere
    assert (PAGE.count("```python"), fragments) == (len(BLOCKS) + 1, 1)


def test_the_tests_of_the_page_pass(pytester):
    pytester.makeini("[pytest]\nfilterwarnings = error\n")
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(**{f"test_{name}": source for name, source in TESTS.items()})
    result = pytester.runpytest_inprocess("-p", "protoo_flask_pytest", "-p", "no:cacheprovider")
    result.assert_outcomes(passed="".join(TESTS.values()).count("\ndef test_") + 1)


def test_the_suite_of_unittest_passes():
    namespace = {}
    exec(CONFTEST + UNITTEST, namespace)
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(namespace["EchoTest"])
    result = unittest.TestResult()
    suite.run(result)
    assert result.testsRun == 2
    assert result.wasSuccessful(), result.failures + result.errors


@pytest.mark.parametrize(("name", "source"), SAMPLES, ids=[name for name, _ in SAMPLES])
def test_the_page_of_the_sample_app_is_a_copy(name, source):
    path = ROOT / "sample_app" / "tests" / name
    assert source in path.read_text(encoding="utf-8")
