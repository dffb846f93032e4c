"""A short soak in each run of the tests; by hand, as long as you like: ``python -m tests.soak``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("workers", [2, 4])
def test_a_soak_finds_no_fault(workers):
    command = [sys.executable, "-m", "tests.soak", "--workers", str(workers), "--seconds", "10"]
    soak = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert soak.returncode == 0, soak.stdout + soak.stderr
