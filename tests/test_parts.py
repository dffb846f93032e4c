"""All tests run in parts: each file in exactly one, and the outcome is that of all of them."""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path

import pytest

from . import parts
from .parts import PYTEST_PARTS, ROOT, Part


@pytest.fixture
def run(tmp_path):
    """Run Python statements as a part, until it ends."""

    def run(*statements):
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        part = Part("python", [sys.executable, "-c", "\n".join(statements)], folder)
        part.process.wait()
        assert part.has_ended()
        return part

    return run


def test_each_file_of_tests_is_in_exactly_one_part():
    files = {str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py")}
    found = []
    for arguments in PYTEST_PARTS.values():
        ignored = tuple(f"{path}/" for path in arguments if path.startswith("--ignore="))
        folders = tuple(f"{path}/" for path in arguments if not path.startswith("--"))
        assert all((ROOT / path).is_dir() for path in folders)
        found += [
            path
            for path in files
            if path.startswith(folders) and not f"--ignore={path}".startswith(ignored)
        ]
    assert sorted(found) == sorted(files)


@pytest.mark.parametrize(
    ("output", "counts"),
    [
        ("..F\\n2 failed, 10 passed, 3 skipped, 1 error in 9.50s", (10, 3, 3)),
        ("== 1 passed in 0.01s ==", (1, 0, 0)),
        ("12 passed, 2 skipped, 1 xfailed in 84.15s (0:01:24)", (12, 0, 2)),
        ("# tests 7\\n# pass 4\\n# fail 1\\n# cancelled 1\\n# skipped 1\\n# todo 0", (4, 2, 1)),
        ("a test prints: 5 passed\\nno tests ran in 0.01s", (0, 0, 0)),
        ("", (0, 0, 0)),
    ],
)
def test_the_counts_are_those_of_the_runner(run, output, counts):
    assert tuple(run(f"print('{output}')").counts.values()) == counts


def test_a_runner_that_crashes_counts_as_a_failed_test(run):
    part = run("print('3 passed in 1s')", "raise SystemExit(4)")
    assert part.has_failed
    assert part.counts == {"passed": 3, "failed": 1, "skipped": 0}
    assert re.fullmatch(r"python: 3 passed, 1 failed in \d+ s \(exit code 4\)", part.summary)


def test_the_report_has_the_output_of_failed_parts_and_the_sums(run, capsys):
    good = run("print('quiet; 3 passed in 1s')")
    bad = run("print('why')", "print('1 failed, 4 passed in 1s')", "raise SystemExit(1)")

    assert parts.report([good, bad]) == 1

    lines = capsys.readouterr().out.splitlines()
    assert "why" in lines
    assert not any("quiet" in line for line in lines)
    assert lines[-1] == "7 passed, 1 failed, 0 skipped"
    assert parts.report([good]) == 0


def test_the_failed_tests_of_all_parts_are_run_by_last_failed(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "ROOT", tmp_path)
    for name in PYTEST_PARTS:
        file = tmp_path / ".pytest_cache" / name / "v" / "cache" / "lastfailed"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps({f"tests/test_{name}.py::test": True}))

    parts.merge_failed_tests()

    file = tmp_path / ".pytest_cache" / "v" / "cache" / "lastfailed"
    assert json.loads(file.read_text()) == {
        f"tests/test_{name}.py::test": True for name in PYTEST_PARTS
    }


def test_a_part_that_runs_tells_how_far_it_is(run):
    assert run("print('....... [ 45%]')", "print('..')").progress == "python 45%"
    assert run().progress == "python started"
