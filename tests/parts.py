"""All tests, in parts that run at the same time: most tests wait for servers.

``python -m tests.parts [COMMAND ...]`` runs them, and beside them a command that runs other tests.
It prints a line for each part, and the output of those that have failed. ``dev.py test`` uses it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Sequence

ROOT = Path(__file__).resolve().parents[1]

#: Those of pytest: {name: folders}. Each takes about as long as the others, and waits most of it.
FOLDERS = {
    "servers": ["tests/servers"],
    "ends": ["tests/servers/ends", "tests/chaos", "tests/faults", "tests/soak"],
    "browser": ["tests/browser"],
    "other": ["tests"],
}


def ignore_those_of_others(name: str) -> list[str]:
    """Return options to ignore the folders of other parts that are inside those of a part."""
    own = FOLDERS[name]
    others = (path for other, paths in FOLDERS.items() if other != name for path in paths)
    return [
        f"--ignore={path}" for path in others if any(path.startswith(f"{mine}/") for mine in own)
    ]


PYTEST_PARTS = {name: [*paths, *ignore_those_of_others(name)] for name, paths in FOLDERS.items()}

#: Seconds between two lines that tell how far the parts are.
PROGRESS_INTERVAL = 60

COUNTED = ("passed", "failed", "skipped")


class Part:
    """A test runner that has been started; its output goes to a file in a folder.

    Its stderr is that of this process: pytest writes there only why it hangs or has crashed.
    """

    def __init__(self, name: str, command: Sequence[str], folder: Path) -> None:
        self.name = name
        self.seconds = 0.0
        self._file = folder / name
        self._began = time.monotonic()
        with self._file.open("wb") as file:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=file
            )

    def has_ended(self) -> bool:
        """Tell whether it has ended; the first call after its end takes the time."""
        if self.process.poll() is None:
            return False
        self.seconds = self.seconds or time.monotonic() - self._began
        return True

    @property
    def has_failed(self) -> bool:
        return self.process.returncode != 0

    @property
    def output(self) -> str:
        return self._file.read_text(encoding="utf-8", errors="replace")

    @property
    def progress(self) -> str:
        """How far it is, as pytest tells: ``servers 45%``."""
        percentages = re.findall(r"\[ *(\d+%)\]$", self.output, re.MULTILINE)
        return f"{self.name} {percentages[-1] if percentages else 'started'}"

    @property
    def counts(self) -> dict[str, int]:
        """How many tests have passed, failed, and were skipped; for a crash, one has failed."""
        found = dict.fromkeys(COUNTED, 0)
        output = self.output.rstrip()
        # The last line of pytest: "2 failed, 100 passed, 1 error in 9.50s".
        for count, word in re.findall(
            r"(\d+) (passed|failed|skipped|error)", output.split("\n")[-1]
        ):
            found["failed" if word == "error" else word] += int(count)
        # Lines of Node's runner: "i pass 100", where the i is a symbol.
        for word, count in re.findall(r"^\S (pass|fail|cancelled|skipped) (\d+)$", output, re.M):
            found[{"pass": "passed", "skipped": "skipped"}.get(word, "failed")] += int(count)
        if self.has_failed and not found["failed"]:
            found["failed"] = 1
        return found

    @property
    def summary(self) -> str:
        counts = ", ".join(f"{count} {word}" for word, count in self.counts.items() if count)
        code = f" (exit code {self.process.returncode})" if self.has_failed else ""
        return f"{self.name}: {counts or 'no tests'} in {self.seconds:.0f} s{code}"


def main(command: Sequence[str]) -> int:
    commands = {name: pytest_command(name) for name in PYTEST_PARTS}
    if command:
        commands["js"] = command
    say("{} run at the same time".format(", ".join(commands)))
    with tempfile.TemporaryDirectory() as folder:
        parts = [Part(name, command, Path(folder)) for name, command in commands.items()]
        try:
            wait_for(parts)
        except KeyboardInterrupt:
            for part in parts:
                part.process.wait()  # The child got the Ctrl-C too. Let it clean up.
            return 130
        merge_failed_tests()
        return report(parts)


def pytest_command(name: str) -> Sequence[str]:
    # With a cache of its own: else each part would forget the failed tests of the others.
    options = ["-q", "--color=no", "-o", f"cache_dir=.pytest_cache/{name}"]
    return [sys.executable, "-m", "pytest", *options, *PYTEST_PARTS[name]]


def wait_for(parts: Sequence[Part]) -> None:
    running = list(parts)
    began = told = time.monotonic()
    while running:
        time.sleep(0.1)
        for part in [part for part in running if part.has_ended()]:
            running.remove(part)
            say(part.summary)
        now = time.monotonic()
        if running and now - told >= PROGRESS_INTERVAL:
            told = now
            progress = ", ".join(part.progress for part in running)
            say(f"after {(now - began) / 60:.0f} min: {progress}")


def merge_failed_tests() -> None:
    """Let `dev.py test --last-failed` run those of all parts."""
    cache = ROOT / ".pytest_cache"
    failed: dict[str, bool] = {}
    for name in PYTEST_PARTS:
        file = cache / name / "v" / "cache" / "lastfailed"
        if file.exists():
            failed.update(json.loads(file.read_text(encoding="utf-8")))
    file = cache / "v" / "cache" / "lastfailed"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(failed, indent=2), encoding="utf-8")


def report(parts: Sequence[Part]) -> int:
    """Print the outcome; return the exit code."""
    failed = [part for part in parts if part.has_failed]
    for part in failed:
        print(f"\n===== output of {part.name} =====\n\n{part.output.rstrip()}")
    print()
    for part in parts:
        print(part.summary)
    totals = {word: sum(part.counts[word] for part in parts) for word in COUNTED}
    # A line of its own, in the form that programs look for.
    print("\n" + ", ".join(f"{count} {word}" for word, count in totals.items()), flush=True)
    return int(bool(failed))


def say(text: str) -> None:
    print(f"tests: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
