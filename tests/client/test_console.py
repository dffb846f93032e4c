"""``python -m protoo_flask.client``: the console."""

from __future__ import annotations

import json
import os
import re
import select
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import time
import urllib.request

import pytest

from protoo_flask.client.console.commands import BadCommand, Reply, Send, Word, parse_command
from protoo_flask.client.console.completion import Completion
from protoo_flask.client.console.cookie_file import load_cookies
from protoo_flask.client.console.main import main

from .scripted_server import DEADLINE

pty = pytest.importorskip("pty")
fcntl = pytest.importorskip("fcntl")
termios = pytest.importorskip("termios")


@pytest.fixture
def url(server, alice):
    return f"http://127.0.0.1:{server.port}/protoo?user={alice}"


def run(url, lines, *options):
    return subprocess.run(
        [sys.executable, "-m", "protoo_flask.client", url, *options],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        timeout=60,
    )


# Commands


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("", None),
        ("  # a comment", None),
        ("get /echo", Send("get", "/echo", {})),
        ('message  /users/bob {"a": {"b": " "}}', Send("message", "/users/bob", {"a": {"b": " "}})),
        ("notify typing /users/bob", Send("typing", "/users/bob", {}, True)),
        ("reply 200", Reply(None, 200, "", {})),
        ('reply #12 486 busy here {"a": 1}', Reply(12, 486, "busy here", {"a": 1})),
        ("exit", Word("quit")),
        ("?", Word("help")),
    ],
)
def test_a_line_is_a_command(line, command):
    assert parse_command(line) == command


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("get", "expected METHOD PATH"),
        ("get echo", "expected METHOD PATH"),
        ("hepl", "did you mean 'help'"),
        ("get /echo nonsense", "DATA is a JSON object"),
        ("get /echo [1]", "DATA is a JSON object"),
        ("reply", "expected reply"),
        ("reply 99", "expected reply"),
        ("reply 700", "expected reply"),
    ],
)
def test_another_line_teaches(line, expected):
    with pytest.raises(BadCommand) as caught:
        parse_command(line)
    assert expected in str(caught.value)


def test_words_are_completed_and_learned():
    completion = Completion()
    assert completion.complete("he") == ["help"]
    assert completion.complete("notify he") == []
    assert completion.complete("get /e") == []
    completion.learn('notify whisper /echo/twice {"a": 1}')
    assert completion.complete("get /e") == ["/echo/twice"]
    assert completion.complete("whi") == ["whisper"]
    assert completion.complete("notify whisper /e") == ["/echo/twice"]
    assert completion.complete("reply /e") == []


# Lines of a file


def test_commands_of_a_file_are_answered_in_order(url):
    done = run(
        url, ['get /echo {"n": 1}', "get /nowhere", "nonsense", 'get /echo {"n": "\\u001b"}']
    )
    lines = done.stdout.splitlines()
    assert lines[1:5] == [
        '<- 200 OK {"n": 1}',
        "<- 404 not found",
        lines[3],
        '<- 200 OK {"n": "\\u001b"}',
    ]
    assert lines[3].startswith("! expected METHOD PATH")
    assert done.returncode == 1
    assert done.stderr == ""


def test_the_exit_status_tells_what_happened(url, server, capsys):
    assert run(url, ["get /echo"]).returncode == 0
    refused = run(f"http://127.0.0.1:{server.port}/protoo", [])
    assert refused.returncode == 3
    assert refused.stderr.startswith("python -m protoo_flask.client: 403 ")
    assert "--cookie" in refused.stderr
    assert main(["http://127.0.0.1:1/protoo", "--no-reconnect"]) == 4
    assert "cannot connect" in capsys.readouterr().err
    assert main(["/protoo"]) == main([url, "--cookie", "x"]) == 2
    assert "NAME=VALUE" in capsys.readouterr().err


def test_a_cookie_logs_in(server, alice, tmp_path):
    import http.cookiejar
    import urllib.request

    jar = http.cookiejar.MozillaCookieJar(tmp_path / "cookies.txt")
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    opener.open(f"http://127.0.0.1:{server.port}/login/{alice}").close()
    jar.save(ignore_discard=True)
    (cookie,) = jar
    url = f"http://127.0.0.1:{server.port}/protoo"
    for options in (
        ("--cookie", f"session={cookie.value}"),
        ("--cookies", str(tmp_path / "cookies.txt")),
    ):
        assert run(url, ["get /echo"], *options).returncode == 0


CURL = """\
# Netscape HTTP Cookie File
# https://curl.se/docs/http-cookies.html

#HttpOnly_127.0.0.1\tFALSE\t/\tFALSE\t0\tsession\t{session}
127.0.0.1\tFALSE\t/\tFALSE\t0\tzero\t0
127.0.0.1\tFALSE\t/\tFALSE\t4102444800\tkept\t0
127.0.0.1\tFALSE\t/\tFALSE\t1\told\tgone
"""


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_file_of_curl_logs_in(server, alice, tmp_path, host):
    """curl writes the cookie of a Flask session, which ends with the browser, as one of 1970."""
    path = tmp_path / "cookies.txt"
    page = f"http://{host}:{server.port}/login/{alice}"
    if shutil.which("curl"):
        subprocess.run(["curl", "-s", "-c", path, page], check=True, stdout=subprocess.DEVNULL)
    else:
        with urllib.request.urlopen(page) as answer:
            session = answer.headers["Set-Cookie"].split(";")[0].partition("=")[2]
        text = CURL.format(session=session).replace("127.0.0.1", host)
        path.write_text(text, encoding="utf-8")
    url = f"http://{host}:{server.port}/protoo"
    assert run(url, ["get /echo"], "--cookies", str(path)).returncode == 0


def test_the_cookies_of_a_file_that_have_not_expired_are_read(tmp_path):
    path = tmp_path / "cookies.txt"
    path.write_text(CURL.format(session="x"), encoding="utf-8")
    found = {cookie.name: (cookie.value, cookie.expires) for cookie in load_cookies(str(path))}
    assert found == {"session": ("x", None), "zero": ("0", None), "kept": ("0", 4102444800)}


@pytest.mark.parametrize("content", [b"", b"session=x", b"\xff\xfe"])
def test_another_file_is_refused(tmp_path, content, capsys):
    path = tmp_path / "cookies.txt"
    path.write_bytes(content)
    assert main(["http://127.0.0.1:1/protoo", "--cookies", str(path)]) == 2
    assert main(["http://127.0.0.1:1/protoo", "--cookies", str(tmp_path)]) == 2
    assert "python -m protoo_flask.client: " in capsys.readouterr().err


# JSON lines


def test_json_lines_are_messages(url):
    messages = [
        {"method": "get", "path": "/echo", "id": "mine", "data": {"n": 1}},
        {"method": "get", "path": "/hold", "id": 2, "data": {"name": "json"}, "timeout": 0.1},
        {"method": "news", "path": "/nowhere"},
        {"method": "get"},
        [],
    ]
    done = run(url, [*map(json.dumps, messages), "nonsense"], "--json", "--uuid", "robot")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert {"event": "open", "uuid": "robot"} in found
    assert {"status": 200, "reason": "OK", "id": "mine", "data": {"n": 1}} in found
    (timed_out,) = [each for each in found if each.get("status") == 408]
    assert timed_out["isLocal"] is True
    assert len([each for each in found if each.get("event") == "error"]) == 3
    assert done.returncode == 1


def test_json_lines_answer_requests(url):
    command = [sys.executable, "-m", "protoo_flask.client", url, "--json"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert json.loads(process.stdout.readline())["event"] == "open"
        process.stdin.write('{"method": "get", "path": "/ask", "id": 1, "data": {"q": 1}}\n')
        process.stdin.flush()
        asked = json.loads(process.stdout.readline())
        assert (asked["method"], asked["data"]) == ("question", {"q": 1})
        answer = {"status": 200, "reason": "fine", "id": asked["id"], "data": {"a": 2}}
        process.stdin.write(json.dumps(answer) + "\n")
        process.stdin.close()
        assert json.loads(process.stdout.readline()) == {**answer, "id": 1}
        assert process.wait(DEADLINE) == 0


# Streams that are closed, and interrupts


@pytest.mark.parametrize("options", [[], ["--json"]])
@pytest.mark.parametrize(("redirect", "status"), [("<&-", 0), ("</dev/null >&-", 0)])
def test_a_closed_stream_is_an_empty_one(url, options, redirect, status):
    command = [sys.executable, "-m", "protoo_flask.client", url, *options]
    script = f"{shlex.join(command)} {redirect}"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.stderr, done.returncode) == ("", status)


@pytest.mark.parametrize(
    ("options", "line"),
    [([], "get /echo\n"), (["--json"], '{"method": "get", "path": "/echo", "id": 1}\n')],
)
def test_the_program_ends_when_nobody_reads_its_output(url, options, line):
    command = [sys.executable, "-m", "protoo_flask.client", url, *options]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, text=True, **pipes) as process:
        assert process.stdout.readline()  # it is connected
        process.stdout.close()
        process.stdin.write(line)
        process.stdin.flush()  # and stays open
        assert process.wait(DEADLINE) == 5
        assert process.stderr.read() == ""


def test_a_full_disk_is_told(url):
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no disk that is full")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "protoo_flask.client", url],
            input="get /echo\n",  # so there is something to write
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert done.returncode == 5
    assert "No space left on device" in done.stderr


def test_characters_that_the_output_cannot_write_are_escaped(url):
    done = subprocess.run(
        [sys.executable, "-m", "protoo_flask.client", url],
        input='get /echo {"text": "\\u00fc"}\n',
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert '<- 200 OK {"text": "\\xfc"}' in done.stdout
    assert (done.stderr, done.returncode) == ("", 0)


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_an_interrupt_ends_a_script_with_130(url, options):
    command = [sys.executable, "-m", "protoo_flask.client", url, *options]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, text=True, **pipes) as process:
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == 130
        assert process.stderr.read() == ""


# At a terminal


class Person:
    """Types at a terminal, and reads it."""

    def __init__(self, url, tmp_path, *options, without=()):
        block = "".join(f"sys.modules[{name!r}] = None;" for name in without)
        code = f"import sys; {block} from protoo_flask.client.console.main import main; "
        code += "sys.exit(main(sys.argv[1:]))"
        self._terminal, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        self._seen = ""
        history = str(tmp_path / "history")
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, url, "--history", history, *options],
            stdin=other,
            stdout=other,
            stderr=other,
            env={**os.environ, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"},
            start_new_session=True,
        )
        os.close(other)

    def type(self, text):
        os.write(self._terminal, text.encode())

    def read_until(self, pattern):
        deadline = time.monotonic() + DEADLINE
        while True:
            plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self._seen)
            found = re.search(pattern, plain)
            if found is not None:
                self._seen = plain[found.end() :]
                return found
            assert time.monotonic() < deadline, (pattern, plain)
            if select.select([self._terminal], [], [], 0.2)[0]:
                try:
                    self._seen += os.read(self._terminal, 65536).decode("utf-8", "replace")
                except OSError:  # the end
                    assert re.search(pattern, self._seen), self._seen

    def leave(self, keys):
        self.type(keys)
        while True:
            try:
                if not os.read(self._terminal, 65536):
                    break
            except OSError:
                break
        os.close(self._terminal)
        return self._process.wait(DEADLINE)


@pytest.mark.parametrize("without", [(), ("prompt_toolkit",)])
def test_a_person_talks_at_a_terminal(url, tmp_path, without):
    pytest.importorskip("prompt_toolkit" if not without else "readline")
    person = Person(url, tmp_path, without=without)
    person.read_until("connected as")
    person.type('get /ask {"q": 1}\r')
    person.read_until(r'-> #1 question \{"q": 1\}')
    person.type("reply 100 thinking\r")
    person.type('reply 200 fine {"a": 2}\r')
    person.read_until(r'<- 200 fine \{"a": 2\}')
    person.type("get /echo\r")
    person.read_until("<- 200 OK")
    person.type("abandoned\x03")  # Ctrl-C leaves the line
    person.type("get /ec\t")  # learned from the line before
    person.read_until("ho")
    person.type("\r")
    person.read_until("<- 200 OK")
    assert person.leave("quit\r") == 0
    again = Person(url, tmp_path, without=without)
    again.read_until("connected as")
    again.type("\x1b[A\x1b[A")  # arrow up, twice: "quit", and the line before
    again.read_until("get /echo")
    assert again.leave("\x15\x04") == 0
