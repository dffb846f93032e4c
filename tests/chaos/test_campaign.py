"""A minute of the campaign in each run of the tests; by hand, ``python3 dev.py chaos``."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from . import site

ROOT = Path(__file__).resolve().parents[2]

#: Any seed is as good; with the same one each time, the minute is the same each time.
SEED = "4"


def run(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.chaos", "--seed", SEED, *args]
    env = {**os.environ, **environment}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=600)


def test_a_minute_of_chaos_finds_nothing():
    done = run("--minutes", "1", "--quick")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\| messages acknowledged \| [1-9]", done.stdout)


def test_messages_that_are_acknowledged_and_forgotten_are_found():
    args = ["--minutes", "0.3", "--only", "pywsgi,mistakes"]
    done = run(*args, **{site.SABOTAGE: "yes"})
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(r"FINDING pywsgi: pair0-from/d: lost \[100", done.stdout)
    assert f"--seed {SEED} --only 'pywsgi,mistakes'" in done.stdout


def test_an_unknown_name_is_told_with_those_that_there_are():
    done = run("--only", "gunicorn,slowloris")
    assert done.returncode == 2
    assert "there is no slowloris; there are: gunicorn, " in done.stderr
