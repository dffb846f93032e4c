"""The runner of the Autobahn suite, without the suite: it needs a Python 2.7 or a container."""

from __future__ import annotations

import json
import os
import socket
import stat
import threading

import pytest
from websockets.sync.client import connect
from websockets.sync.server import serve

from tests.servers.clients import NO_PROXY, RawClient
from tests.servers.processes import start

from . import AGENTS, CLIENT, EXPECTED, FAILED, NOT_RUN, RIGHT, Summary, find_surprises, run, suite
from .__main__ import main
from .echo_client import visit

BINARY, CONTINUATION, TEXT = 0x2, 0x0, 0x1


@pytest.fixture
def nothing_installed(monkeypatch, tmp_path):
    """A machine with neither Python 2.7 nor a container; returns the folder of its programs."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setattr(suite, "CACHE", tmp_path / "cache")
    return programs


def add_program(folder, name, text):
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_without_a_suite_it_is_not_run_and_says_why(nothing_installed, tmp_path):
    summary = run(tmp_path / "report")
    assert summary.status == NOT_RUN
    assert summary.reason == "there is no python2.7; there is neither docker nor podman"
    assert summary.lines() == [f"Autobahn suite: not run: {summary.reason}"]


def test_a_client_of_docker_without_a_daemon_is_no_suite(nothing_installed, tmp_path):
    add_program(nothing_installed, "docker", "echo Cannot connect to the daemon; exit 1")
    summary = run(tmp_path / "report")
    assert summary.status == NOT_RUN
    assert "docker: Cannot connect to the daemon" in summary.reason


def test_a_python_that_cannot_install_the_suite_is_told(nothing_installed, tmp_path):
    text = 'case "$1" in --version) exit 0;; esac; echo no pip here; exit 1'
    add_program(nothing_installed, "python2.7", text)
    summary = run(tmp_path / "report")
    assert summary.status == NOT_RUN
    assert "cannot install autobahntestsuite: no pip here" in summary.reason
    assert not (tmp_path / "cache").exists()


def test_a_suite_that_fails_has_not_passed(nothing_installed, tmp_path):
    # This one is found, and then runs no case.
    add_program(nothing_installed, "python2.7", 'case "$*" in *--mode*) exit 3;; esac')
    summary = run(tmp_path / "report", agents=["gevent"])
    assert summary.status == FAILED
    assert "wstest has ended with 3" in summary.reason


def test_no_case_is_no_pass(nothing_installed, tmp_path):
    add_program(nothing_installed, "python2.7", "exit 0")
    summary = run(tmp_path / "report", cases=["12.*"], agents=["gevent", CLIENT])
    assert (summary.status, summary.reason) == (FAILED, "no case")


def test_the_command_has_an_exit_status_of_its_own_when_it_is_not_run(
    nothing_installed, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("sys.argv", ["autobahn", "--report", str(tmp_path)])
    assert main() == 2
    assert capsys.readouterr().out.startswith("Autobahn suite: not run: ")


def test_outcomes_are_compared_with_the_expected_ones():
    outcomes = {"gevent": {"1.1.1": "OK", "6.4.3": "NON-STRICT", "7.1.6": "OK", "9.1": "FAILED"}}
    expected = {"gevent": {"NON-STRICT": ["6.4.3"], "INFORMATIONAL": ["7.1.6"]}}
    assert find_surprises(outcomes, expected) == ["gevent: case 9.1 is FAILED, expected OK"]
    assert find_surprises({"gevent": {"6.4.3": "FAILED"}}, expected) == [
        "gevent: case 6.4.3 is FAILED, expected NON-STRICT"
    ]


def test_nothing_that_is_wrong_is_expected():
    expected = json.loads(EXPECTED.read_text(encoding="utf-8"))
    assert expected.keys() <= {*AGENTS, CLIENT}
    assert {outcome for of_agent in expected.values() for outcome in of_agent} <= set(RIGHT)


def test_a_summary_counts():
    summary = Summary("passed", outcomes={"gevent": {"1.1.1": "OK", "1.1.2": "OK", "2": "FAILED"}})
    assert summary.lines()[1] == "  gevent: 3 cases: 1 FAILED, 2 OK"
    assert summary.to_json()["counts"] == {"gevent": {"OK": 2, "FAILED": 1}}


# The echo


@pytest.fixture(scope="module", params=AGENTS)
def agent(request):
    command, environ, compresses = AGENTS[request.param]
    server = start(request.param, command, **environ)
    yield server.port, compresses
    server.stop()
    assert server.complaints() == []


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 1_000_000])
def test_both_kinds_of_messages_come_back(agent, size):
    port, compresses = agent
    extension = {"compression": "deflate" if compresses else None}
    url = f"ws://127.0.0.1:{port}/protoo"
    with connect(url, subprotocols=["protoo"], max_size=None, **extension, **NO_PROXY) as client:
        assert bool(client.protocol.extensions) is compresses
        for message in ("é" * (size // 2), os.urandom(size)):
            client.send(message)
            assert client.recv(20) == message


def test_fragments_come_back_in_one(agent):
    port, _ = agent
    with socket.create_connection(("127.0.0.1", port), 20) as sock:
        raw = RawClient(sock, "/protoo", Host=f"127.0.0.1:{port}")
        raw.send_frame(BINARY, b"ab", first=0)
        raw.send_frame(CONTINUATION, b"c")
        assert raw.read_frame() == (BINARY, b"abc")
        raw.send_frame(TEXT, b"\xff")
        assert raw.read_close()[0] == 1007
        raw._file.close()


def test_the_client_echoes_both_kinds():
    heard = []

    def handle(connection):
        for message in ("text", b"bytes", ""):
            connection.send(message)
            heard.append(connection.recv(20))

    with serve(handle, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        port = server.socket.getsockname()[1]
        assert visit(f"ws://127.0.0.1:{port}/runCase?case=1") == ["text", ""]
        server.shutdown()
        thread.join()
    assert heard == ["text", b"bytes", ""]
