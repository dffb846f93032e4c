"""``flask protoo check``."""

from __future__ import annotations

import click
from flask.cli import ScriptInfo, pass_script_info

from ..core.suggestions import hint


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
    # A site imports this module with the extension, and never needs these in deployment.
    from .findings import ERROR, KINDS, WARNING
    from .report import make_report

    for code in ignored:
        if code not in KINDS:
            raise click.UsageError(f"there is no finding {code!r}{hint(code, KINDS)}")
    report = make_report(info, config, peers, ignored)
    if as_json:
        report.echo_json()
    else:
        report.echo()
    if ERROR in report.levels or (strict and WARNING in report.levels):
        raise click.exceptions.Exit(1)
