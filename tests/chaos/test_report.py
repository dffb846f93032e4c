"""The report: what it says, and where it is written."""

from __future__ import annotations

import json

import pytest

from .campaign import Result
from .report import Report, advice, command, write


@pytest.fixture
def report():
    results = [
        Result("gunicorn", 20.0, {"frames": 100}, {"pings": 2000}, {"kill": 1}, messages=1500),
        Result("pywsgi", 20.0, {"frames": 100}, findings=["pair0: lost [7]"], lost=1),
    ]
    return Report(7, command(7, 2.0), seconds=120.0, results=results)


def test_the_report_has_the_sums_and_the_findings(report):
    lines = report.to_markdown().splitlines()
    assert "| messages acknowledged | 1,500 |" in lines
    assert "| messages lost | 1 |" in lines
    assert "| frames | 200 |" in lines
    assert "| kill | 1 |" in lines
    assert lines[-1] == "- pywsgi: pair0: lost [7]"


def test_json_has_everything(report, tmp_path):
    write(report, tmp_path / "report.json")
    values = json.loads((tmp_path / "report.json").read_text())
    assert values["seed"] == 7
    assert values["results"][1]["findings"] == ["pair0: lost [7]"]


def test_of_a_page_only_its_part_is_written(report, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- report -->\nold\n<!-- end of report -->\nafter\n")
    write(report, page)
    write(report, page)
    text = page.read_text()
    assert text.startswith("before\n<!-- report -->\n")
    assert text.endswith("<!-- end of report -->\nafter\n")
    assert "old" not in text
    assert text.count("minutes, seed 7.") == 1


def test_findings_come_with_the_command_that_repeats_them(report):
    lines = advice(report.results[1], command(7, 46 / 60, ["pywsgi"], is_quick=True))
    assert lines == [
        "FINDING pywsgi: pair0: lost [7]",
        "repeat it: python3 dev.py chaos --minutes 0.7667 --seed 7 --quick --only 'pywsgi'",
    ]


@pytest.mark.parametrize("seconds", [20, 46, 60, 277])
def test_the_minutes_of_a_command_are_the_same_seconds_again(seconds):
    words = command(7, seconds / 60).split()
    assert round(float(words[words.index("--minutes") + 1]) * 60) == seconds
