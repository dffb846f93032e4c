"""What npm installs: the servers on Node."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent


def ensure_node_packages() -> None:
    """Install what package.json names, unless that is done already or there is no npm.

    A failure is no reason to stop: then the report says what was not run.
    """
    npm = shutil.which("npm")
    if npm is None:
        return
    digest = hashlib.sha256((HERE / "package.json").read_bytes()).hexdigest()
    # Where an interrupted installation leaves no trace of having succeeded.
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
