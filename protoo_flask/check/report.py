"""The report of ``flask protoo check``: for a terminal, or as JSON."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import textwrap
from pathlib import Path
from typing import Any, Container, NamedTuple

import click
from flask import Flask
from flask.cli import ScriptInfo
from flask.logging import default_handler

from ..core.errors import UsageError
from ..peer_commands import find_site
from ..site.configuration import UNKNOWN_KEY
from .checks import check, order
from .findings import ERROR, LEVELS, NOTE, WARNING, Finding
from .gunicorn import Gunicorn, Unreadable, find_gunicorn
from .subject import Subject

#: Characters in a line, and before a text.
WIDTH, INDENT = 100, 2

_COLORS = {ERROR: "red", WARNING: "yellow", NOTE: "cyan"}


class Report(NamedTuple):
    """What was found, the most severe first.

    :ivar gunicorn: whose settings were looked at; ``None``: none were found, or they fail.
    """

    findings: list[Finding]
    gunicorn: Gunicorn | None

    @property
    def levels(self) -> set[str]:
        """The levels of the findings."""
        return {finding.level for finding in self.findings}

    def echo(self) -> None:
        """Print it for a person."""
        _print(self.findings, self.gunicorn)

    def echo_json(self) -> None:
        """Print it for a program."""
        click.echo(json.dumps(_to_json(self.findings, self.gunicorn), indent=2))


def make_report(
    info: ScriptInfo, config: str | None, peers: int | None, ignored: Container[str]
) -> Report:
    """Import the app, and make all checks.

    :param config: a file of gunicorn, or where gunicorn looks for it.
    :param peers: how many connections the site expects.
    :param ignored: codes of findings that are left out.
    :raises ClickException: when the app has no Protoo.
    """
    found, gunicorn = _find(info, config, peers)
    return Report(order(one for one in found if one.code not in ignored), gunicorn)


def _find(
    info: ScriptInfo, config: str | None, peers: int | None
) -> tuple[list[Finding], Gunicorn | None]:
    findings = []
    gunicorn = None
    try:
        gunicorn = find_gunicorn(Path.cwd(), os.environ, config)
    except Unreadable as error:
        problem = f"the configuration of gunicorn cannot be read: {error}"
        remedy = "Correct it: gunicorn --check-config shows the whole error"
        findings.append(Finding("gunicorn-unreadable", problem, remedy))
    try:
        app = _load(info)
        with app.app_context():
            site = find_site()
            settings = site.settings
            subject = Subject(app, site, settings, gunicorn, os.environ, peers)
            is_unread = bool(findings)  # gunicorn was found, and cannot be read
            found = check(subject)
            findings += [one for one in found if not (is_unread and one.code == "server-unknown")]
    except UsageError as error:
        remedy = "Correct it; the other checks need an app that can be made"
        findings.append(Finding("setting-refused", str(error), remedy))
    return findings, gunicorn


def _load(info: ScriptInfo) -> Flask:
    """Import the app. The log need not tell what this command tells."""

    def is_new(record: logging.LogRecord) -> bool:
        return record.msg != UNKNOWN_KEY

    # Flask would set app.debug by FLASK_DEBUG, which hides what the code of the site has set.
    info.set_debug_flag = False
    default_handler.addFilter(is_new)
    try:
        return info.load_app()
    finally:
        default_handler.removeFilter(is_new)


def _print(findings: list[Finding], gunicorn: Gunicorn | None) -> None:
    for finding in findings:
        level = click.style(finding.level, fg=_COLORS[finding.level], bold=True)
        click.echo(f"{level}: {finding.code}")
        sentences = (f"{text.rstrip('.')}." for text in (finding.problem, finding.remedy))
        for text in (*sentences, f"See {finding.docs}"):
            click.echo(_wrap(_capitalize(text)))
        click.echo()
    click.echo(_describe(gunicorn))
    if not findings:
        click.echo("no findings")
        return
    counts = (_count(findings, level) for level in LEVELS)
    click.echo(", ".join(count for count in counts if count))


def _capitalize(sentence: str) -> str:
    """Begin a sentence with a capital letter, unless it begins with a name of Python's."""
    is_word = sentence.split(" ", 1)[0].isalpha()
    return sentence[:1].upper() + sentence[1:] if is_word else sentence


def _wrap(text: str) -> str:
    # A setting, a URL or a file must be found by a search.
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=" " * INDENT,
        subsequent_indent=" " * INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _describe(gunicorn: Gunicorn | None) -> str:
    if gunicorn is None:
        return "server: unknown"
    config = _shorten(gunicorn.config) if gunicorn.config else "no configuration file"
    workers = "1 worker" if gunicorn.workers == 1 else f"{gunicorn.workers} workers"
    return f"server: gunicorn, {workers} of class {gunicorn.worker_class} ({config})"


def _shorten(path: str) -> str:
    with contextlib.suppress(ValueError):  # on another drive
        return os.path.relpath(path)
    return path


def _count(findings: list[Finding], level: str) -> str:
    number = sum(finding.level == level for finding in findings)
    if not number:
        return ""
    return f"{number} {level}" if number == 1 else f"{number} {level}s"


def _to_json(findings: list[Finding], gunicorn: Gunicorn | None) -> dict[str, Any]:
    return {
        "findings": list(map(_describe_finding, findings)),
        "counts": {level: sum(one.level == level for one in findings) for level in LEVELS},
        "gunicorn": None
        if gunicorn is None
        else {
            "config": gunicorn.config,
            "worker_class": gunicorn.worker_class,
            "workers": gunicorn.workers,
        },
    }


def _describe_finding(finding: Finding) -> dict[str, str]:
    return {
        "level": finding.level,
        "code": finding.code,
        "problem": finding.problem,
        "remedy": finding.remedy,
        "docs": finding.docs,
    }
