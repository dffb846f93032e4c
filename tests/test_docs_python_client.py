"""docs/python-client.md tells the truth: its programs run."""

from __future__ import annotations

import re
import subprocess
import sys
import types
import urllib.request
from http.cookiejar import CookieJar

import pytest

from protoo_flask.client import Client, Refused
from tests.client.conftest import Events, server  # noqa: F401
from tests.client.scripted_server import DEADLINE
from tests.servers.processes import ROOT

PAGE = (ROOT / "docs" / "python-client.md").read_text(encoding="utf-8")
PROGRAMS = dict(re.findall(r"<!-- program: (\w+) -->\n```python\n(.*?)```", PAGE, re.DOTALL))

#: The other examples, {their first line: code}.
EXAMPLES = {
    code.split("\n", 1)[0]: code
    for code in re.findall(r"(?<!-->\n)```python\n(.*?)```", PAGE, re.DOTALL)
}


class Web:
    """What the examples use of a `requests.Session`, and the login of the site of these tests."""

    def __init__(self, site):
        self.jar = CookieJar()
        self._site = site
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar))

    def post(self, url, data):
        assert (url, list(data)) == (f"{self._site}/login", ["username", "password"])
        self._opener.open(f"{url}/{data['username']}").close()


def run_example(site, first_line, **names):
    """Run an example of the page; returns the names that it has set."""
    exec(EXAMPLES[first_line].replace("https://chat.example", site), names)
    return names


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


@pytest.fixture
def site(server):  # noqa: F811
    return f"http://127.0.0.1:{server.port}"


@pytest.fixture
def bob(site):
    """A client of bob, who rings before he answers."""
    client = Client(f"{site}/protoo?user=bob")

    @client.on("request")
    def answer(req):
        req.reply(180, "ringing")
        req.reply(200, "OK", {"got": req.data})

    with client:
        yield client


def test_the_first_example_logs_in_and_sends_a_message(site, bob, capsys, monkeypatch):
    requests = types.SimpleNamespace(Session=lambda: Web(site))
    monkeypatch.setitem(sys.modules, "requests", requests)
    run_example(site, "import requests")
    assert capsys.readouterr().out == "200 OK {'got': {'text': 'hi bob'}}\n"


def test_a_bot_logs_in_again(site):
    web = Web(site)
    client = Client(f"{site}/protoo", cookies=web.jar)
    events = Events(client, "open", "refused")
    run_example(site, '@client.on("refused")', client=client, web=web)
    with pytest.raises(Refused, match="403"):
        client.connect(DEADLINE)
    events.next("refused")
    events.next("open")
    assert client.request("get", "/echo").status == 200
    client.close()


def test_the_responses_come_one_after_the_other(site, bob, capsys):
    with Client(f"{site}/protoo?user=alice") as client:
        first_line = 'for response in client.send("session", "/users/bob", offer, timeout=130):'
        code = EXAMPLES[first_line].replace('"session"', '"message"')  # this site has no calls
        exec(code, {"client": client, "offer": {"sdp": "..."}})
    assert capsys.readouterr().out == "180 ringing\n200 OK\n"


def test_a_listener_answers(site, bob, capsys):
    with Client(f"{site}/protoo?user=carol") as client:
        run_example(site, '@client.on("request")', client=client)
        response = bob.request("message", "/users/carol", {"n": 1})
        assert (response.status, response.data) == (200, {"seen": True})
    assert capsys.readouterr().out.startswith("message {'n': 1} {'username': 'bob', 'uuid': ")


def test_every_example_is_run_here():
    assert list(EXAMPLES) == [
        "import requests",
        '@client.on("refused")',
        'for response in client.send("session", "/users/bob", offer, timeout=130):',
        '@client.on("request")',
    ]
