"""docs/python-client.md tells the truth: its programs run."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from protoo_flask.client import Client
from tests.client.conftest import Events, server  # noqa: F401
from tests.client.scripted_server import DEADLINE
from tests.servers.processes import ROOT

PAGE = (ROOT / "docs" / "python-client.md").read_text(encoding="utf-8")
PROGRAMS = dict(re.findall(r"<!-- program: (\w+) -->\n```python\n(.*?)```", PAGE, re.DOTALL))


def command(name, *arguments):
    return [sys.executable, "-c", PROGRAMS[name], *arguments]


def run(name, *arguments):
    return subprocess.run(
        command(name, *arguments), capture_output=True, text=True, timeout=60, cwd=ROOT
    )


def test_each_program_has_about_twenty_lines():
    assert sorted(PROGRAMS) == ["bot", "load", "probe"]
    assert max(program.count("\n") for program in PROGRAMS.values()) <= 23


def test_the_bot_answers(server):  # noqa: F811
    site = f"http://127.0.0.1:{server.port}"
    with subprocess.Popen(
        command("bot", site, "robbie"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as bot:
        assert bot.stdout.readline() == "ready\n"
        client = Client(f"{site}/protoo?user=human")
        events = Events(client, "request")
        with client:
            assert client.request("message", "/users/robbie", {"text": "hi"}).status == 200
            req = events.next("request")
            assert (req.sender["username"], req.data) == ("robbie", {"text": "you said: hi"})
            req.reply(200)
            assert client.request("dance", "/users/robbie").status in (404, 405)
        bot.communicate("\n", DEADLINE)
        assert bot.returncode == 0


def test_the_load_script_counts(server):  # noqa: F811
    done = run("load", f"http://127.0.0.1:{server.port}/protoo", "3", "5")
    assert done.stdout.startswith("15 answers, 0 failures, median "), done.stderr


@pytest.mark.parametrize(
    ("query", "limit", "text", "status"),
    [
        ("user=probe", "1000", "OK: answered after ", 0),
        ("user=probe", "0", "WARNING: answered after ", 1),
        ("", "1000", "CRITICAL: refused with 403 ", 2),
    ],
)
def test_the_probe_tells_the_state(server, query, limit, text, status):  # noqa: F811
    done = run("probe", f"http://127.0.0.1:{server.port}/protoo?{query}", limit)
    assert done.stdout.startswith(text), done.stderr
    assert done.returncode == status


def test_the_probe_tells_that_nobody_is_there():
    done = run("probe", "http://127.0.0.1:1/protoo", "1000")
    assert done.stdout.startswith("CRITICAL: cannot connect")
    assert done.returncode == 2
