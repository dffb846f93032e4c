"""The settings of the gunicorn that will serve a site, as far as they can be found.

Gunicorn takes them from its command line, ``GUNICORN_CMD_ARGS``, ``WEB_CONCURRENCY`` and
``gunicorn.conf.py`` in the working directory. The command line stands in a Procfile, if anywhere.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping

from ..core.errors import ProtooError
from ..core.excerpts import excerpt

#: Seconds for gunicorn's configuration to be read.
PATIENCE = 60

#: The beginning of the line that gunicorn_reader.py writes. It is a program, and cannot be imported
#: where gunicorn is not installed.
MARK = "protoo_flask.check: "

_READER = Path(__file__).with_name("gunicorn_reader.py")

#: A line of a Procfile: the kind of the process, and its command.
_PROCESS = re.compile(r"^([\w-]+):\s*(.+)$", re.MULTILINE)

#: ``${PORT:-8000}``, of which a shell takes the default.
_DEFAULT = re.compile(r"\$\{(\w+):?-([^}]*)\}")


class Unreadable(ProtooError):
    """Gunicorn's configuration cannot be read; the text says why."""


@dataclass(frozen=True)
class Gunicorn:
    """What gunicorn will do.

    :ivar kind: of the worker: "gevent", or the name of another one; "" if it cannot be loaded.
    :ivar problem: the reason why it cannot be loaded, or "".
    :ivar forwarded_allow_ips: the proxies whose headers gunicorn believes.
    :ivar config: the path of the file, if there is one.
    :ivar is_patched: whether the configuration has patched the standard library.
    :ivar mentions: the packages for gevent that the configuration names.
    """

    kind: str = "gevent"
    problem: str = ""
    worker_class: str = "gevent"
    workers: int = 1
    threads: int = 1
    worker_connections: int = 1000
    preload_app: bool = False
    graceful_timeout: float = 30
    keepalive: float = 2
    certfile: str | None = None
    forwarded_allow_ips: tuple[str, ...] = ()
    bind: tuple[str, ...] = ()
    config: str | None = None
    is_patched: bool = False
    mentions: tuple[str, ...] = ()

    @property
    def is_local(self) -> bool:
        """Whether only programs of this host can connect: a proxy."""
        local = ("unix:", "127.", "localhost", "[::1]")
        return bool(self.bind) and all(address.startswith(local) for address in self.bind)


def find_gunicorn(
    folder: Path, environ: Mapping[str, str], config: str | None = None
) -> Gunicorn | None:
    """Return the settings of gunicorn; ``None`` if nothing tells that it serves the app.

    :param folder: that gunicorn will be started in.
    :param config: a file, as ``--config`` of gunicorn names it.
    :raises Unreadable:
    """
    arguments = _read_procfile(folder / "Procfile", environ)
    hints = ("GUNICORN_CMD_ARGS", "WEB_CONCURRENCY")
    is_named = config is not None or arguments is not None
    is_hinted = is_named or any(environ.get(hint) for hint in hints)
    if not is_hinted and not (folder / "gunicorn.conf.py").exists():
        return None
    arguments = [*(arguments or ()), *(("--config", config) if config else ())]
    return _make(_run(arguments, folder, environ))


def _read_procfile(path: Path, environ: Mapping[str, str]) -> list[str] | None:
    """Return the arguments of the first gunicorn in a Procfile."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    for _, command in _PROCESS.findall(text):
        command = _DEFAULT.sub(lambda found: environ.get(found[1], found[2]), command)
        command = re.sub(r"\$(\w+)", lambda found: environ.get(found[1], found[0]), command)
        try:
            words = shlex.split(command)
        except ValueError:
            continue
        names = [os.path.basename(word) for word in words]
        if "gunicorn" in names:
            words = words[names.index("gunicorn") + 1 :]
            ends = [words.index(word) for word in ("&&", "||", ";", "|", "&") if word in words]
            return words[: min(ends, default=len(words))]
    return None


def _run(arguments: list[str], folder: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    try:
        done = subprocess.run(
            [sys.executable, str(_READER), *arguments],
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=PATIENCE,
        )
    except subprocess.TimeoutExpired:
        raise Unreadable(f"it has not been read within {PATIENCE} seconds") from None
    written = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    if written:
        found: dict[str, Any] = json.loads(written[-1][len(MARK) :])
        return found
    if "No module named 'gunicorn'" in done.stderr:
        raise Unreadable("gunicorn is not installed here")
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    raise Unreadable(excerpt(lines[-1] if lines else f"exit status {done.returncode}"))


def _make(found: dict[str, Any]) -> Gunicorn:
    lists = {name: tuple(found[name]) for name in ("bind", "mentions", "forwarded_allow_ips")}
    return Gunicorn(**{**found, **lists})
