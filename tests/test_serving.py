"""The standalone server, as a command."""

from __future__ import annotations

import signal
import socket
import textwrap

import pytest

from .servers.clients import Site
from .servers.processes import DEADLINE, run, start

CHAT = """
    from flask import request
    from protoo_flask import Protoo
    from protoo_flask.middleware import p2p_messenger

    protoo = Protoo()
    protoo.use("/users", p2p_messenger(protoo))

    @protoo.authorize
    def authorize():
        return request.args["username"], None

    @protoo.on("offline")
    def offline(peer):
        print("good bye", peer.username, flush=True)

    if __name__ == "__main__":
        protoo.run(port=0)
"""


@pytest.fixture
def chat(tmp_path):
    (tmp_path / "chat.py").write_text(textwrap.dedent(CHAT))
    return tmp_path


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_protoo_is_served_without_a_site(chat, number):
    server = start("chat", ["-m", "protoo_flask", "chat", "--port", "0"], cwd=chat)
    try:
        site = Site(server.port)
        with site.connect_with("?username=alice") as a, site.connect_with("?username=bob") as b:
            a.start("message", "/users/bob", {"text": "hi"})
            b.respond(b.expect("message"), 200)
            assert a.receive()["status"] == 200
            assert site.http("GET", "/protoo/protoo.js").status == 200
            assert site.http("GET", "/").status == 404

            server.process.send_signal(number)
            for client in (a, b):
                assert client.wait_for_close() == (1001, "shutting down")
        assert server.process.wait(DEADLINE) == 0
    finally:
        server.stop()
    assert "good bye alice" in server.output()
    assert "good bye bob" in server.output()
    assert server.complaints() == []


def test_a_script_that_runs_it_is_told_that_blocking_calls_block(chat):
    server = start("chat", ["chat.py"], cwd=chat)
    server.stop()

    assert server.process.returncode == 0
    assert "gevent has not patched the standard library" in server.output()
    assert "monkey.patch_all()" in server.output()


def test_a_port_that_is_taken_is_reported(chat):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = run("chat", ["-m", "protoo_flask", "chat", "--port", str(port)], cwd=chat)
        assert server.process.wait(DEADLINE) == 1
        server.stop()

    assert server.output().startswith("python -m protoo_flask: cannot serve: ")
    assert "in use" in server.output()
    assert "Traceback" not in server.output()


def test_a_module_that_is_missing_is_reported(chat):
    server = run("chat", ["-m", "protoo_flask", "chatt:app"], cwd=chat)
    assert server.process.wait(DEADLINE) == 2
    server.stop()

    assert server.output() == "python -m protoo_flask: there is no module 'chatt' here\n"


def test_it_listens_on_ipv6_too(chat):
    server = start("chat", ["-m", "protoo_flask", "chat", "--port", "0", "--host", "::1"], cwd=chat)
    server.stop()

    assert f"http://[::1]:{server.port}/" in server.output()
