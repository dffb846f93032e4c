"""``flask protoo run``: ``flask run`` on gevent, with Flask's reloader and Flask's debugger.

``flask run`` has a thread for each connection. Here connections have greenlets, as they have
under gunicorn's gevent worker, so the developer meets the behaviour of the deployment.

The standard library must be patched before the app is imported, and ``flask`` has imported much
of it when it calls a command. So the process that serves starts once more: gevent's own launcher
patches first, and then runs the same command line. With the reloader there are two processes, as
with ``flask run``. The outer one only starts the inner one again, and needs no gevent.
"""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import click
import gevent
from flask import Flask
from flask.cli import ScriptInfo, pass_script_info
from flask.helpers import get_debug_flag
from gevent import monkey
from werkzeug.serving import is_running_from_reloader

_FILE = click.Path(exists=True, dir_okay=False, resolve_path=True)


@click.command("run")
@click.option("--host", "-h", default="127.0.0.1", envvar="FLASK_RUN_HOST", show_default=True)
@click.option(
    "--port", "-p", default=5000, envvar="FLASK_RUN_PORT", show_default=True, help="0: any."
)
@click.option("--cert", type=_FILE, help="Serve HTTPS with this certificate, a PEM file.")
@click.option("--key", type=_FILE, help="The key of the certificate, if it is another file.")
@click.option(
    "--reload/--no-reload", default=None, help="Restart after a change of the code. In debug mode."
)
@click.option(
    "--debugger/--no-debugger", default=None, help="Show tracebacks in pages. In debug mode."
)
@click.option(
    "--extra-files", default="", help=f"More files to watch, with {os.pathsep!r} between."
)
@click.option(
    "--exclude-patterns", default="", help=f"Files to ignore (fnmatch), {os.pathsep!r} between."
)
@pass_script_info
def run_development(
    info: ScriptInfo,
    host: str,
    port: int,
    cert: str | None,
    key: str | None,
    reload: bool | None,
    debugger: bool | None,
    extra_files: str,
    exclude_patterns: str,
) -> None:
    """Serve the app with gevent, for development.

    Like `flask run`, but connections are greenlets, as they are under gunicorn's gevent worker.
    """
    # A site imports this module with the extension, and never needs these two in deployment.
    from werkzeug.debug import DebuggedApplication

    from .serving import serve_until_signal

    if key and not cert:
        raise click.UsageError("--key is the key of a certificate: name that one with --cert")
    debug = get_debug_flag()
    use_reloader = debug if reload is None else reload
    if not monkey.is_module_patched("socket") and (is_running_from_reloader() or not use_reloader):
        _start_patched()
    tls = {name: path for name, path in (("certfile", cert), ("keyfile", key)) if path}
    use_debugger = debug if debugger is None else debugger

    def serve_app() -> None:
        app, wsgi = _load(info)
        if use_debugger:
            wsgi = DebuggedApplication(wsgi, evalex=True)
        try:
            serve_until_signal(app, host, port, wsgi=wsgi, access_log="default", tls=tls)
        except OSError as error:
            raise click.ClickException(f"cannot serve on {host}:{port}: {error}") from None

    if use_reloader:
        _serve_with_reloader(serve_app, _split(extra_files), _split(exclude_patterns))
    else:
        serve_app()
        gevent.wait(timeout=1)  # for handlers of "offline"


def _split(paths: str) -> list[str]:
    return [path for path in paths.split(os.pathsep) if path]


def _start_patched() -> None:
    """Run this command line once more, in a process that is patched from the start."""
    spec = sys.modules["__main__"].__spec__
    if spec is not None:  # python -m flask
        is_package = spec.name.endswith(".__main__")
        target = ["--module", spec.name[: -len(".__main__")] if is_package else spec.name]
    elif Path(sys.argv[0]).is_file():
        target = [sys.argv[0]]
    else:  # a script of pip's on Windows, which is an .exe
        target = ["--module", "flask"]
    command = [sys.executable, "-m", "gevent.monkey", *target, *sys.argv[1:]]
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "nt":  # where exec returns to the shell at once
        sys.exit(subprocess.call(command))
    os.execv(sys.executable, command)


def _load(info: ScriptInfo) -> tuple[Flask, Any]:
    """Return the app, and the WSGI application to serve.

    A defect of the app does not end a server that reloads: each page shows the defect until a
    change of the code mends it.
    """
    try:
        app = info.load_app()
    except Exception as error:
        if not is_running_from_reloader():
            raise
        traceback.print_exc()
        defect = error

        def raise_defect(environ: Any, start_response: Any) -> Any:
            raise defect from None

        return Flask("an app that cannot be imported", static_folder=None), raise_defect
    return app, app


def _serve_with_reloader(serve_app: Any, extra_files: list[str], exclude: list[str]) -> None:
    # Werkzeug lets only its own server reload: no public name leads to it.
    from werkzeug._reloader import run_with_reloader

    main_greenlet = gevent.getcurrent()

    def serve_in_greenlet() -> None:
        status = 0
        try:
            serve_app()
        except click.ClickException as error:
            error.show()
            status = error.exit_code
        except Exception:  # noqa: BLE001 (the main greenlet cannot see it)
            traceback.print_exc()
            status = 1
        # The reloader's loop in the main greenlet has no other end.
        gevent.kill(main_greenlet, SystemExit(status))

    try:
        run_with_reloader(
            serve_in_greenlet,
            extra_files=extra_files,
            exclude_patterns=exclude,
            # It sleeps between its looks. The loop of watchdog would block the hub.
            reloader_type="stat",
        )
    except SystemExit as end:
        if not end.code:  # not for a reload
            gevent.wait(timeout=1)  # for handlers of "offline"
        raise
