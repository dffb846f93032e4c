"""What a person sees, and what a program reads."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from protoo_flask.check.findings import KINDS

from .projects import ROOT

BAD = """
app.debug = True
app.config.update(SECRET_KEY="dev", SESSION_COOKIE_SECURE=False, PROTOO_PING_INTERVALL=3)
"""


def test_a_site_without_faults_is_told_so(project):
    outcome = project.check(as_json=False)
    assert outcome.code == 0
    assert outcome.output == (
        "server: gunicorn, 1 worker of class gevent (gunicorn.conf.py)\nno findings\n"
    )
    assert outcome.errors == ""


def test_the_most_severe_come_first_and_are_counted(project):
    project.write(BAD)
    outcome = project.check(as_json=False)
    assert outcome.code == 1
    heads = re.findall(r"^(error|warning|note): ([a-z-]+)$", outcome.output, re.MULTILINE)
    assert heads == [
        ("error", "debug"),
        ("error", "secret-key-weak"),
        ("warning", "setting-unknown"),
        ("warning", "cookie-not-secure"),
    ]
    assert outcome.output.endswith("\n2 errors, 2 warnings\n")


def test_every_finding_has_two_sentences_and_a_page(project):
    project.write(BAD)
    output = project.check(as_json=False).output
    assert max(map(len, output.splitlines())) <= 100
    for block in output.split("\n\n")[:-1]:
        assert re.fullmatch(r"\w+: [a-z-]+\n(  .+\n)+  See [\w./-]+#[\w-]+", block)


def test_a_spelling_mistake_is_told_once(project):
    project.write(BAD)
    outcome = project.check(as_json=False)
    assert outcome.errors == ""
    assert outcome.output.count("PROTOO_PING_INTERVALL") == 1


@pytest.mark.parametrize(("arguments", "code"), [([], 0), (["--strict"], 1)])
def test_warnings_are_errors_if_asked_for(project, arguments, code):
    project.write("app.config['SESSION_COOKIE_SECURE'] = False")
    assert project.check(*arguments).code == code


def test_a_finding_can_be_left_out(project):
    project.write("app.debug = True; app.config['SESSION_COOKIE_SECURE'] = False")
    outcome = project.check("--strict", "--ignore", "debug", "--ignore", "cookie-not-secure")
    assert (outcome.codes, outcome.code) == ([], 0)


def test_a_finding_that_does_not_exist_cannot_be_left_out(project):
    outcome = project.check("--ignore", "cookie-insecure")
    assert outcome.code == 2
    assert "there is no finding 'cookie-insecure'; did you mean 'cookie-not-secure'?" in (
        outcome.errors
    )


def test_the_json_counts_and_explains(project):
    project.write("app.config['SESSION_COOKIE_SECURE'] = False")
    report = project.check().report
    assert report["counts"] == {"error": 0, "warning": 1, "note": 0}
    (finding,) = report["findings"]
    assert finding.keys() == {"level", "code", "problem", "remedy", "docs"}
    assert finding["level"] == "warning"


def test_an_app_without_protoo_is_named(project):
    project.save("app.py", "from flask import Flask\napp = Flask('shop')")
    outcome = project.check()
    assert outcome.code == 1
    assert "Error: the app 'shop' has no Protoo" in outcome.errors


def test_no_secret_is_shown(project):
    project.write(
        "app.config.update(SECRET_KEY='Tr0ub4dor', PROTOO_TURN_SECRET='Tr0ub4dor', "
        "PROTOO_CLUSTER_KEY='Tr0ub4dor&3Tr0ub4dor', "
        "PROTOO_ICE_SERVERS=[{'urls': 'turn:x', 'username': 'a', 'credential': 'Tr0ub4dor'}])"
    )
    outcome = project.check()
    assert {"secret-key-weak", "turn-secret-weak", "turn-password"} <= set(outcome.codes)
    assert "Tr0ub4dor" not in outcome.output + outcome.errors


def test_a_site_that_runs_imports_nothing_of_it():
    script = "import protoo_flask, sys; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=True, encoding="utf-8"
    )
    ours = {name for name in done.stdout.split() if name.startswith("protoo_flask.check")}
    assert ours == {"protoo_flask.check", "protoo_flask.check.command"}


# The documentation


def anchors(path: Path) -> set[str]:
    """Return the anchors of the headings of a page, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("code", KINDS)
def test_every_finding_leads_to_a_heading_that_exists(code):
    page, _, anchor = KINDS[code][1].partition("#")
    assert (ROOT / page).exists()
    assert not anchor or anchor in anchors(ROOT / page)


def test_the_page_lists_every_finding_with_its_level():
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    section = page.split("## Before you deploy")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([a-z-]+)` \| (\w+) \|", section, re.MULTILINE)
    assert dict(rows) == {code: level for code, (level, _) in KINDS.items()}
    assert len(rows) == len(KINDS)
