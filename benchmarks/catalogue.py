"""The catalogue of servers: the name, wire format and requirements of each."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

from . import wires
from .machine import node_version, python_package_version

HERE = Path(__file__).resolve().parent
SITES = HERE / "servers"
#: More than any of the crowds here; gunicorn's default is 1000.
CONNECTIONS = 20_000

OURS = "protoo_flask"
TEARDOWN = "protoo_flask + teardown"
ATTACHED = "protoo_flask + attached"
FLASK_SOCK = "flask-sock"
FLASK_SOCKETIO = "Flask-SocketIO"
PROTOO_SERVER = "protoo-server 4"
SOCKET_IO = "socket.io"
FLOOR = "gevent floor"


class Entry(NamedTuple):
    """One server.

    :ivar source: the Flask app as ``module:name``, or a script that takes the port.
    :ivar packages: the required packages; the report shows their versions.
    :ivar environment: environment variables for the server.
    :ivar checkout: the directory from which ``protoo_flask`` is imported.
    """

    name: str
    wire: wires.Wire
    source: str
    packages: tuple[str, ...]
    environment: dict[str, str] = {}
    checkout: Path = HERE.parent

    @property
    def is_node(self) -> bool:
        return self.source.endswith(".js")

    @property
    def is_flask(self) -> bool:
        return ":" in self.source

    def command(self, port: int, pywsgi: bool = False) -> list[str]:
        """Return the command that starts the server."""
        if self.is_node:
            # With gc(), so that garbage can be collected before memory is measured, as in Python.
            return ["node", "--expose-gc", str(SITES / self.source), str(port)]
        if not self.is_flask:
            return [sys.executable, str(SITES / self.source), str(port)]
        if pywsgi:
            return [sys.executable, str(SITES / "on_pywsgi.py"), self.source, str(port)]
        options = f"-k gevent -w 1 --worker-connections {CONNECTIONS} --log-level warning"
        where = ["--graceful-timeout", "1", "--bind", f"127.0.0.1:{port}"]
        return [sys.executable, "-m", "gunicorn", *options.split(), *where, self.source]

    def versions(self) -> dict[str, str]:
        """Return the versions of its packages that are installed."""
        find = node_package_version if self.is_node else python_package_version
        found = {name: find(name) for name in self.packages}
        return {name: version for name, version in found.items() if version is not None}

    def obstacle(self) -> str | None:
        """Return why the server cannot run on this machine, or ``None`` if it can."""
        if self.is_node and (shutil.which("node") is None or node_version() is None):
            return "there is no Node"
        missing = [name for name in self.packages if name not in self.versions()]
        return f"{', '.join(missing)} is not installed" if missing else None


def node_package_version(name: str) -> str | None:
    """Return the version of a package that npm has installed beside this file."""
    try:
        description = (HERE / "node_modules" / name / "package.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    version: str = json.loads(description)["version"]
    return version


_SITE = "protoo_flask_site:app"
_ON_FLASK = ("Flask", "gunicorn", "gevent")

CATALOGUE = {
    entry.name: entry
    for entry in (
        Entry(OURS, wires.Protoo(), _SITE, _ON_FLASK),
        Entry(TEARDOWN, wires.Protoo(), _SITE, _ON_FLASK, {"BENCH_TEARDOWN": "1"}),
        Entry(ATTACHED, wires.Protoo(), _SITE, _ON_FLASK, {"BENCH_ATTACHED": "1"}),
        Entry(
            FLASK_SOCK,
            wires.Wire(),
            "flask_sock_echo:app",
            ("flask-sock", "simple-websocket", *_ON_FLASK),
        ),
        Entry(
            FLASK_SOCKETIO,
            wires.SocketIO(),
            "flask_socketio_site:app",
            ("Flask-SocketIO", "python-socketio", "simple-websocket", *_ON_FLASK),
        ),
        Entry(PROTOO_SERVER, wires.Protoo4(), "protoo_server.js", ("protoo-server",)),
        Entry(SOCKET_IO, wires.SocketIO(), "socketio.js", ("socket.io",)),
        Entry(FLOOR, wires.Constant(), "gevent_floor.py", ("gevent",)),
    )
}


def add_checkout(path: Path) -> str:
    """Let another checkout of this project take part, and return its name.

    On a machine whose speed changes, two separate runs cannot be compared. Two checkouts, before
    and after a change, can be compared in one run that measures them alternately.
    """
    path = path.resolve()
    if not (path / "protoo_flask").is_dir():
        raise ValueError(f"there is no protoo_flask in {path}")
    name = f"{OURS} of {path.name}"
    CATALOGUE[name] = CATALOGUE[OURS]._replace(name=name, checkout=path)
    return name
