#!/usr/bin/env python3
"""Developer commands. Each one first installs its requirements.

    python3 dev.py sample [--port N]       serve the sample app on 127.0.0.1 (default port 5000)
    python3 dev.py test                    run all tests, in parts that run at the same time
    python3 dev.py test ARGUMENTS          run pytest with these arguments
    python3 dev.py js                      run only the tests of the browser client
    python3 dev.py lint                    check style and types
    python3 dev.py figures [--check]       draw the figures of docs/architecture.md
    python3 dev.py chaos [--minutes N]     put servers under load, faults and fuzzers; see --help
    python3 dev.py bench [--short] [...]   compare this project with others (see bench --help)

The first run makes a virtual environment, .venv, with the Python that runs this file, and
installs the checkout there. Later runs install again only if setup.cfg has changed. The
benchmarks have their own environment, .venv-bench, because the tests do not need the servers
of the comparison.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Sequence

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BENCH_VENV = ROOT / ".venv-bench"
WINDOWS = os.name == "nt"
PYTHON_VERSION = "{}.{}".format(*sys.version_info)
NODE_VERSION = (20, 11)  # the first version with the mock timers that the tests use
IN_CI = os.environ.get("CI") == "true"


# Commands


def sample(args: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="dev.py sample")
    parser.add_argument("--port", type=int, default=5000, metavar="N")
    port = parser.parse_args(args).port
    ensure_port_is_free(port)
    ensure_installed("sample")
    say(f"open http://127.0.0.1:{port}/ (Ctrl-C ends)")
    app = "sample_app:create_app()"
    if not WINDOWS:  # gunicorn forks, so it cannot run on Windows
        # exec, not a child process: the server gets the signals and sets the exit code itself.
        os.chdir(ROOT)
        gunicorn = [PYTHON, "-m", "gunicorn", "-c", "sample_app/gunicorn.conf.py"]
        os.execv(PYTHON, [*gunicorn, "--bind", f"127.0.0.1:{port}", app])
    return run(PYTHON, "-m", "protoo_flask", app, "--port", str(port))


def test(args: Sequence[str]) -> int:
    ensure_chromium()
    ensure_redis()
    ensure_installed("test")
    if args:
        return run(PYTHON, "-m", "pytest", *args)
    return run(PYTHON, "-m", "tests.parts", *js_command())


def js(args: Sequence[str]) -> int:
    expect_no_arguments("js", args)
    if find_node() is None:
        ensure_installed("test")
    return run_js_tests()


def lint(args: Sequence[str]) -> int:
    expect_no_arguments("lint", args)
    ensure_installed("dev")
    types = ("pyright", "--pythonpath", PYTHON, "--project", "tests/type_check")
    checks = [("ruff", "check"), ("ruff", "format", "--check"), ("mypy",), types]
    exit_codes = [run(PYTHON, "-m", *check) for check in checks]
    return int(any(exit_codes))


def chaos(args: Sequence[str]) -> int:
    ensure_redis()
    ensure_installed("test")
    return run(PYTHON, "-m", "tests.chaos", *args)


def bench(args: Sequence[str]) -> int:
    ensure_installed("bench", BENCH_VENV)
    return run(python_of(BENCH_VENV), "-m", "benchmarks", *args)


def figures(args: Sequence[str]) -> int:
    ensure_installed("test")
    return run(PYTHON, "-m", "benchmarks", "figures", *args)


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "sample": sample,
    "test": test,
    "js": js,
    "lint": lint,
    "chaos": chaos,
    "bench": bench,
    "figures": figures,
}


def run_js_tests() -> int:
    command = js_command()
    return run(*command) if command else 0


def js_command() -> list[str]:
    """Return the command of the tests of the browser client; an empty one without Node."""
    node = find_node()
    if node is None:
        tell_skipped(
            "the tests of the browser client", "there is no Node {}.{}".format(*NODE_VERSION)
        )
        return []
    options = ["--test", "--test-reporter=spec", "--disable-warning=ExperimentalWarning"]
    # The files are listed, because `node --test DIRECTORY` finds other files in each Node version.
    files = sorted(str(path) for path in (ROOT / "tests" / "js").glob("*test*.*js"))
    if not files:
        sys.exit("dev.py: no file matches tests/js/*test*.*js")
    return [node, *options, *files]


def ensure_port_is_free(port: int) -> None:
    with socket.socket() as probe:
        if not WINDOWS:  # on Windows this option would let two servers share the port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as exc:
            sys.exit(f"dev.py: cannot listen on port {port} ({exc}): choose one with --port N")


# The virtual environment


def python_of(venv: Path) -> str:
    return str(venv / ("Scripts/python.exe" if WINDOWS else "bin/python"))


PYTHON = python_of(VENV)


def ensure_installed(extra: str, venv: Path = VENV) -> None:
    """Install the checkout (editable) with this extra, unless that is done already.

    The file dev.json in the virtual environment has its Python version, its checkout, and for
    each extra a hash of the setup.cfg. It is written after each step, so an interrupted step is
    repeated. "bench" is not an extra of the package, because users of the package do not need
    the requirements of the benchmarks.
    """
    state_file = venv / "dev.json"
    made_for = {"python": PYTHON_VERSION, "checkout": str(ROOT)}
    state = read_state(state_file)
    if {key: state.get(key) for key in made_for} != made_for or not python_runs(venv):
        make_venv(venv)
        state = {**made_for, "installed": {}}
        write_state(state_file, state)

    sources = [ROOT / "setup.cfg", ROOT / "pyproject.toml"]
    targets = [["pip>=21.3"], ["-e", f".[{extra}]"]]
    if extra == "bench":
        sources.append(ROOT / "benchmarks" / "requirements.txt")
        targets[1] = ["-e", ".", "-r", str(sources[-1])]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    if state["installed"].get(extra) == digest:
        return
    say(f"installing for {extra!r} into {venv.name} (the first time takes a minute or two)")
    # The pip that comes with old Pythons cannot install this checkout as editable.
    for target in targets:
        pip_install = [python_of(venv), "-m", "pip", "install", "--quiet"]
        run_quietly(*pip_install, "--disable-pip-version-check", *target)
    state["installed"][extra] = digest
    write_state(state_file, state)


def read_state(state_file: Path) -> dict[str, Any]:
    if not state_file.exists():
        return {}
    state: dict[str, Any] = json.loads(state_file.read_text(encoding="utf-8"))
    return state


def write_state(state_file: Path, state: dict[str, Any]) -> None:
    state_file.write_text(json.dumps(state, indent=2), encoding="utf-8")


def python_runs(venv: Path) -> bool:
    """Tell whether the Python of a virtual environment works; an upgrade may have broken it."""
    try:
        return subprocess.call([python_of(venv), "-c", "import pip"]) == 0
    except OSError:
        return False


def can_make_venv() -> bool:
    code = "import ensurepip, venv"
    return subprocess.call([sys.executable, "-c", code], stderr=subprocess.DEVNULL) == 0


def make_venv(venv: Path) -> None:
    if not can_make_venv():
        package = f"python{PYTHON_VERSION}-venv"  # Debian has ensurepip in a separate package
        reason = install_debian_package(package)
        if not can_make_venv():
            sys.exit(
                f"dev.py: {sys.executable} cannot make virtual environments, its modules venv and "
                f"ensurepip are missing, {reason}.\nOn Debian and Ubuntu: apt-get install {package}"
            )
    if venv.is_symlink() or venv.is_file():  # a file is a pointer to some environment (PEP 832)
        say(f"removing {venv.name}, which points to an environment elsewhere")
        venv.unlink()
    if venv.exists():
        if not (venv / "pyvenv.cfg").exists():
            sys.exit(f"dev.py: {venv} exists, but it is not a virtual environment: move it away")
        if Path(sys.prefix).resolve() == venv:
            sys.exit(f"dev.py: {venv.name} must be made anew: run `deactivate` and try again")
        say(f"removing {venv.name}: it was made by another Python, for another path, or by hand")
        shutil.rmtree(venv)
    say(f"making {venv.name} with Python {PYTHON_VERSION}")
    run_quietly(sys.executable, "-m", "venv", str(venv))


# System packages for the tests


def ensure_chromium() -> None:
    if find_chromium() is None:
        reason = install_debian_package("chromium")
        if find_chromium() is None:
            tell_skipped("the tests in a browser", f"Chromium is missing, {reason}")


def find_chromium() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


def ensure_redis() -> None:
    if find_redis() is None:
        reason = install_debian_package("redis-server")
        if find_redis() is None:
            tell_skipped("the tests of clusters", f"redis-server is missing, {reason}")


def find_redis() -> str | None:
    return next(filter(None, map(shutil.which, ("redis-server", "valkey-server"))), None)


def find_node() -> str | None:
    """Return the system's Node, or Playwright's if the system's is missing or too old."""
    packages = "Lib/site-packages" if WINDOWS else "lib/python*/site-packages"
    bundled = VENV.glob(f"{packages}/playwright/driver/node*")
    for node in filter(None, [shutil.which("node"), *map(str, bundled)]):
        done = subprocess.run([node, "--version"], stdout=subprocess.PIPE, text=True)
        version = done.stdout.lstrip("v").split(".")  # v20.11.0
        if done.returncode == 0 and (int(version[0]), int(version[1])) >= NODE_VERSION:
            return node
    return None


def tell_skipped(tests: str, reason: str) -> None:
    if IN_CI:
        sys.exit(f"dev.py: {tests} cannot run: {reason}")
    say(f"will skip {tests}: {reason}")


def install_debian_package(package: str) -> str:
    """Install a package if this user is allowed to. Returns why it may still be missing."""
    if shutil.which("apt-get") is None:
        return "and there is no apt-get to install it with"
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    apt_get = [*sudo, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"]
    if sudo and not may_use_sudo():
        return f"and only root may install it: apt-get install {package}"
    say(f"installing {package} with apt-get")
    try:
        run_quietly(*apt_get, "update")
        run_quietly(*apt_get, "install", "-y", "--no-install-recommends", package)
    except CommandFailed:
        return "and apt-get could not install it"
    return "though apt-get has installed it"


def may_use_sudo() -> bool:
    """Tell whether sudo works without a password."""
    if shutil.which("sudo") is None:
        return False
    return subprocess.call(["sudo", "-n", "true"], stderr=subprocess.DEVNULL) == 0


# Helpers


class CommandFailed(Exception):
    pass


def say(text: str) -> None:
    print(f"dev.py: {text}", flush=True)


def run(*command: str) -> int:
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.wait()  # The child got the Ctrl-C too. Let it clean up.
            raise


def run_quietly(*command: str) -> None:
    """Run a command. If it fails, show its output and raise CommandFailed."""
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode != 0:
        print(done.stdout, flush=True)
        raise CommandFailed(f"exit code {done.returncode} from: {' '.join(command)}")


def expect_no_arguments(command: str, args: Sequence[str]) -> None:
    if args:
        sys.exit(f"dev.py: {command} takes no arguments, but got: {' '.join(args)}")


def main(args: Sequence[str]) -> int:
    if sys.version_info < (3, 8):
        sys.exit("dev.py: Python 3.8 or newer is needed, this is " + sys.version.split()[0])
    if not args or args[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    if args[0] not in COMMANDS:
        sys.exit(f"dev.py: no command {args[0]!r}; there are: {', '.join(COMMANDS)}")
    try:
        return COMMANDS[args[0]](args[1:])
    except CommandFailed as exc:
        sys.exit(f"dev.py: {exc}")
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
