"""Small sites in a folder, as the command finds them: app.py, and gunicorn.conf.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]

#: Seconds for the command; it is much faster.
PATIENCE = 60.0

#: A site about which there is nothing to say.
APP = """
import datetime, os, sys
from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix
from protoo_flask import Protoo
from protoo_flask.middleware import p2p_messenger

app = Flask("shop")
app.config.update(
    SECRET_KEY="6f1c2d0e9b8a47535d7e0c1f2a3b4c5d6f1c2d0e9b8a47535d7e0c1f2a3b4c5d",
    SESSION_COOKIE_SECURE=True,
    SESSION_COOKIE_SAMESITE="Lax",
)
app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1)
{lines}
protoo = Protoo(app)
protoo.use("/users", p2p_messenger(protoo))
{after}
"""

GUNICORN = """
worker_class = "gevent"
workers = 1
keepalive = 2
graceful_timeout = 30
"""

#: Variables that the command looks at.
HINTS = ("GUNICORN_CMD_ARGS", "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS")


class Outcome(NamedTuple):
    """What the command has said."""

    code: int
    output: str
    errors: str

    @property
    def report(self) -> Any:
        """The JSON."""
        return json.loads(self.output)

    @property
    def codes(self) -> list[str]:
        """The codes of the findings, in order."""
        return [finding["code"] for finding in self.report["findings"]]


class Project:
    """The files of a site, and the command in their folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write()
        self.save("gunicorn.conf.py", GUNICORN)

    def save(self, name: str, text: str) -> None:
        """Write a file."""
        (self.folder / name).write_text(textwrap.dedent(text), encoding="utf-8")

    def write(self, lines: str = "", after: str = "") -> None:
        """Write the app: with lines before ``Protoo(app)``, and after the rest."""
        self.save("app.py", APP.replace("{lines}", lines).replace("{after}", after))

    def check(self, *arguments: str, as_json: bool = True, **environ: str) -> Outcome:
        """Run ``flask protoo check``, with variables of the environment."""
        clean = {
            key: value
            for key, value in os.environ.items()
            if key not in HINTS and not key.startswith(("FLASK_", "PROTOO_"))
        }
        clean["PYTHONPATH"] = str(ROOT)
        options = ["--json"] if as_json else []
        done = subprocess.run(
            [sys.executable, "-m", "flask", "protoo", "check", *options, *arguments],
            cwd=self.folder,
            env={**clean, **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)
