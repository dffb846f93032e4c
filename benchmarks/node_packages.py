"""Installs the servers on Node with npm."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent


def ensure_node_packages() -> None:
    """Install the packages of package.json, unless this is done already or there is no npm.

    A failure does not stop the run: the report then names the servers that were left out.
    """
    npm = shutil.which("npm")
    if npm is None:
        return
    digest = hashlib.sha256((HERE / "package.json").read_bytes()).hexdigest()
    # Written only after success, so an interrupted installation is repeated.
    mark = HERE / "node_modules" / ".installed-from"
    if mark.exists() and mark.read_text() == digest:
        return
    print("installing the servers on Node into benchmarks/node_modules", flush=True)
    done = subprocess.run(
        [npm, "install", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"],
        cwd=HERE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode == 0:
        mark.write_text(digest)
    else:
        print(f"npm install has failed:\n{done.stdout}", flush=True)
