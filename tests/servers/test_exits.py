"""``sys.exit()`` in code of a site ends a message; a server that is told to stop still stops."""

from __future__ import annotations

import contextlib
import signal

import pytest

from .clients import Site, eventually
from .processes import DEADLINE, KINDS, SITES, start

APP = "tests.servers.exiting_site:create_app"


def start_kind(kind):
    command, stop_signal = KINDS[kind]
    command = [part.replace(SITES, APP) for part in command]
    return start(kind, command, stop_signal=stop_signal, FLASK_APP=APP)


@pytest.fixture
def start_exiting():
    """Return a function that starts a server of the site with the exits."""
    with contextlib.ExitStack() as stack:

        def start_exiting(name, *command):
            server = start(name, command, FLASK_APP=APP)
            stack.callback(server.stop)
            return server

        yield start_exiting


@pytest.fixture(scope="module", params=KINDS)
def exiting(request):
    server = start_kind(request.param)
    yield server
    server.stop()


@pytest.fixture
def site(exiting):
    return Site(exiting.port)


def connect(site, username):
    return site.connect_with(f"?username={username}")


def pid_of(site):
    with connect(site, "pid") as client:
        return client.request("get", "/pid")["data"]["pid"]


def test_an_exit_of_a_handler_is_answered_500_and_nobody_else_notices(exiting, site):
    pid = pid_of(site)
    with connect(site, "alice") as alice, connect(site, "bob") as bob:
        for sides in ("six", "seven"):
            answer = alice.request("message", "/roll", {"sides": sides})
            assert (answer["status"], answer["reason"]) == (500, "internal server error")
        exiting.wait_for_output(
            r"error in message /roll from <Peer alice/a1 online>: SystemExit\(2\), last in "
            r"tests\.servers\.exiting_site\.create_app\.roll \(.*exiting_site\.py:\d+\)"
        )
        assert alice.request("message", "/roll", {"sides": "6"})["data"] == {"sides": 6}
        assert bob.request("get", "/pid")["data"]["pid"] == pid
    assert pid_of(site) == pid


def test_an_exit_of_on_response_is_logged_and_nobody_else_notices(exiting, site):
    pid = pid_of(site)
    with connect(site, "alice") as alice:
        id = alice.start("message", "/ask")
        question = alice.expect("question")
        assert alice.receive()["id"] == id
        alice.respond(question, 200)
        exiting.wait_for_output("SystemExit: in on_response")
        assert alice.request("get", "/pid")["data"]["pid"] == pid
    assert pid_of(site) == pid


def test_an_exit_of_a_teardown_function_is_logged_and_nobody_else_notices(exiting, site):
    pid = pid_of(site)
    with connect(site, "alice") as alice:
        assert alice.request("message", "/teardown")["status"] == 200
        exiting.wait_for_output("error after message /teardown from <Peer alice/a1 online>")
        assert alice.request("get", "/pid")["data"]["pid"] == pid
    assert pid_of(site) == pid


def test_an_exit_of_a_listener_is_logged_and_nobody_else_notices(exiting, site):
    pid = pid_of(site)
    with connect(site, "online") as client:
        assert client.request("get", "/pid")["data"]["pid"] == pid
    exiting.wait_for_output("SystemExit: in a listener of offline")
    exiting.wait_for_output("SystemExit: in a receiver")
    assert pid_of(site) == pid


def test_an_exit_of_an_authorizer_is_answered_500_and_nobody_else_notices(exiting, site):
    pid = pid_of(site)
    assert site.knock("?exit=1").status == 500
    assert site.http("GET", "/protoo?exit=1").status == 500
    exiting.wait_for_output("exiting_site.py:.*has called sys.exit")
    assert pid_of(site) == pid


# The exit of the server itself

GUNICORN = ("-m", "gunicorn", "-k", "gevent", "--bind", "127.0.0.1:0", APP + "()")


def test_a_script_that_exits_at_a_signal_exits_in_the_middle_of_a_handler(start_exiting):
    server = start_exiting("script", "-m", "tests.servers.exiting_site")
    with contextlib.suppress(Exception), connect(Site(server.port), "alice") as alice:
        alice.start("message", "/busy")
        server.wait_for_output("the handler is busy")
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(DEADLINE) == 3
    assert server.process.poll() == 3


def test_gunicorn_replaces_a_worker_whose_handler_hangs(start_exiting):
    server = start_exiting("gunicorn", *GUNICORN, "--timeout", "2")
    site = Site(server.port)
    pid = pid_of(site)
    with contextlib.suppress(Exception), connect(site, "alice") as alice:
        alice.start("message", "/busy")
        server.wait_for_output("the handler is busy")
        server.wait_for_output("WORKER TIMEOUT")
    # It has ended by itself, at SIGABRT: gunicorn did not have to kill it.
    server.wait_for_output(rf"Worker exiting \(pid: {pid}\)")
    eventually(lambda: pid_of(site) not in (None, pid), True)
    assert "SIGKILL" not in server.output()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT, signal.SIGINT])
@pytest.mark.parametrize("path", ["/wait", "/busy"])
def test_gunicorn_stops_while_a_handler_runs(number, path, start_exiting):
    server = start_exiting("gunicorn", *GUNICORN, "--graceful-timeout", "1")
    with contextlib.suppress(Exception), connect(Site(server.port), "alice") as alice:
        alice.start("message", path)
        if path == "/wait":
            alice.expect("wait")
        else:
            server.wait_for_output("the handler is busy")
        server.process.send_signal(number)
        server.process.wait(DEADLINE)
    assert server.process.poll() == 0
