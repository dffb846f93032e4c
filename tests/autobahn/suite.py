"""The programs of the Autobahn suite: with a Python 2.7, or in a container.

The suite (autobahntestsuite) runs on Python 2.7 only. It is installed from PyPI into a folder of
its own, so that nothing is left in that Python.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]

#: Where the suite is installed.
CACHE = ROOT / ".autobahn"

IMAGE = "docker.io/crossbario/autobahn-testsuite"

#: Seconds to install it, to ask for an image, and for a program to say its version.
INSTALL_TIME, PULL_TIME, VERSION_TIME = 600, 300, 60

#: addsitedir() reads the .pth files, without which a package of several distributions (zope) is not
#: found.
_START = (
    "import site, sys; site.addsitedir({!r}); sys.argv[0] = 'wstest'; "
    "from autobahntestsuite.wstest import run; run()"
)


class NotFound(Exception):
    """The suite cannot be run here; the text says why."""


class Suite(NamedTuple):
    """A way to run ``wstest``.

    :ivar name: for reports.
    :ivar command: without arguments; "{folder}" stands for the folder with the specification,
        which is also the working directory.
    """

    name: str
    command: list[str]
    environ: dict[str, str]
    #: The folder, as the program sees it.
    folder: str = ""

    def run(self, mode: str, spec: dict[str, Any], folder: Path, seconds: float) -> str:
        """Run a mode with a specification; returns the output.

        :raises RuntimeError: when it fails.
        """
        with self.start(mode, spec, folder) as process:
            try:
                output, _ = process.communicate(timeout=seconds)
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            raise RuntimeError(f"wstest has ended with {process.returncode}:\n{output[-3000:]}")
        return output

    def start(self, mode: str, spec: dict[str, Any], folder: Path) -> subprocess.Popen[str]:
        """Start a mode."""
        folder.mkdir(parents=True, exist_ok=True)
        where = self.folder or str(folder)
        text = json.dumps({**spec, "outdir": where}, indent=2)
        (folder / "spec.json").write_text(text, encoding="utf-8")
        command = [part.replace("{folder}", str(folder)) for part in self.command]
        return subprocess.Popen(
            [*command, "--mode", mode, "--spec", f"{where}/spec.json", "--webport", "0"],
            env={**os.environ, **self.environ},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )


def find_suite() -> Suite:
    """Return a way to run the suite. Installs it where there is a Python 2.7.

    :raises NotFound:
    """
    reasons = []
    for find in (_find_python, _find_container):
        try:
            return find()
        except NotFound as error:
            reasons.append(str(error))
    raise NotFound("; ".join(reasons))


def _find_python() -> Suite:
    python = shutil.which("python2.7")
    if python is None or not _works([python, "--version"]):
        versions = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
        found = sorted(versions.glob("2.7*/bin/python2.7"))
        if not found:
            raise NotFound("there is no python2.7")
        python = str(found[-1])
    # A path of this process, and its warnings, are for another Python.
    environ = {"PYTHONPATH": str(CACHE), "PYTHONWARNINGS": ""}
    suite = Suite(python, [python, "-c", _START.format(str(CACHE))], environ)
    version = [*suite.command, "--autobahnversion"]
    if not _works(version, environ):
        shutil.rmtree(CACHE, ignore_errors=True)
        command = [python, "-m", "pip", "install", "--target", str(CACHE), "autobahntestsuite"]
        problem = _try(command, INSTALL_TIME) or _try(version, VERSION_TIME, environ)
        if problem:
            shutil.rmtree(CACHE, ignore_errors=True)
            raise NotFound(f"{python} cannot install autobahntestsuite: {problem}")
    return suite


def _find_container() -> Suite:
    problems = []
    for program in ("docker", "podman"):
        if shutil.which(program) is None:
            continue
        # The client may be there without its daemon.
        problem = _try([program, "info"], VERSION_TIME) or _try([program, "pull", IMAGE], PULL_TIME)
        if problem:
            problems.append(f"{program}: {problem}")
            continue
        command = [program, "run", "--rm", "--network=host", "-v", "{folder}:/autobahn"]
        return Suite(f"{program} {IMAGE}", [*command, IMAGE, "wstest"], {}, "/autobahn")
    raise NotFound("; ".join(problems) or "there is neither docker nor podman")


def _works(command: list[str], environ: dict[str, str] | None = None) -> bool:
    return not _try(command, VERSION_TIME, environ)


def _try(command: list[str], seconds: float, environ: dict[str, str] | None = None) -> str:
    """Return the last line of the output of a command that has failed, or ""."""
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **(environ or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=seconds,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return ""
    lines = done.stdout.split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it has failed")
