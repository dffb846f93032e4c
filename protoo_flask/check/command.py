"""``flask protoo check``: a report in the terminal, or as JSON."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import textwrap
from pathlib import Path
from typing import Any

import click
from flask import Flask
from flask.cli import ScriptInfo, pass_script_info
from flask.logging import default_handler

from ..core.errors import UsageError
from ..core.suggestions import hint
from ..peer_commands import find_site
from ..site.configuration import UNKNOWN_KEY
from .checks import check, order
from .findings import ERROR, KINDS, LEVELS, NOTE, WARNING, Finding
from .gunicorn import Gunicorn, Unreadable, find_gunicorn
from .subject import Subject

#: Characters in a line, and before a text.
WIDTH, INDENT = 100, 2

_COLORS = {ERROR: "red", WARNING: "yellow", NOTE: "cyan"}


@click.command("check")
@click.option(
    "--gunicorn-config",
    "config",
    metavar="FILE",
    help="Gunicorn's configuration; by default, gunicorn.conf.py here. It is run, as gunicorn "
    "runs it. GUNICORN_CMD_ARGS, WEB_CONCURRENCY and a Procfile count as well.",
)
@click.option(
    "--peers", type=click.IntRange(min=1), help="How many connections the site expects at a time."
)
@click.option(
    "--ignore", "ignored", metavar="CODE", multiple=True, help="Leave a finding out; repeatable."
)
@click.option("--strict", is_flag=True, help="Exit with 1 for warnings, too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@pass_script_info
def check_site(
    info: ScriptInfo,
    config: str | None,
    peers: int | None,
    ignored: tuple[str, ...],
    strict: bool,
    as_json: bool,
) -> None:
    """Tell what of the site's configuration is unsafe, or will not work.

    Run it where the server runs, with the same environment. The app is imported, gunicorn's
    configuration is run, and the Redis of a cluster is asked; nothing is changed. The exit status
    is 1 if there are errors.
    """
    for code in ignored:
        if code not in KINDS:
            raise click.UsageError(f"there is no finding {code!r}{hint(code, KINDS)}")
    found, gunicorn = _find(info, config, peers)
    findings = order(finding for finding in found if finding.code not in ignored)
    if as_json:
        click.echo(json.dumps(_to_json(findings, gunicorn), indent=2))
    else:
        _print(findings, gunicorn)
    levels = {finding.level for finding in findings}
    if ERROR in levels or (strict and WARNING in levels):
        raise click.exceptions.Exit(1)


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
