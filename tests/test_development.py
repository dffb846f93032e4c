"""``flask protoo run``: the development server, its reloader and its debugger."""

from __future__ import annotations

import os
import signal
import socket
import textwrap

import pytest

from .servers.clients import Site
from .servers.processes import DEADLINE, run, start

APP = """
    from flask import Flask
    from gevent import monkey
    from protoo_flask import Protoo

    app = Flask("shop")
    app.secret_key = "a key"
    protoo = Protoo(app)

    @protoo.authorize
    def authorize():
        return "alice", None

    @protoo.get("/version")
    def tell_version(req, next):
        req.reply(200, "first")

    @protoo.get("/patched")
    def tell_patched(req, next):
        req.reply(200, data={"patched": monkey.is_module_patched("socket")})

    @app.get("/defect")
    def fail():
        raise ValueError("of the view")

    @protoo.on("offline")
    def offline(peer):
        print("good bye", peer.username, flush=True)
"""


class Project:
    """A directory with an ``app.py``, which is served and then changed."""

    def __init__(self, path):
        self.path = path
        self.code = textwrap.dedent(APP)
        self._saves = 0
        self.save(self.code)

    def save(self, code):
        file = self.path / "app.py"
        file.write_text(code)
        # The reloader compares times, and two saves may have the same.
        self._saves += 1
        time = file.stat().st_mtime + self._saves
        os.utime(file, (time, time))


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


@pytest.fixture
def serve(project):
    servers = []

    def serve(*args, **env):
        command = ["-m", "flask", "protoo", "run", "--port", "0", *args]
        server = start("flask protoo run", command, cwd=project.path, FLASK_APP="app.py", **env)
        servers.append(server)
        return server

    yield serve
    for server in servers:
        server.stop()


def ask(client, path):
    client.start("get", path)
    return client.receive()


def test_an_app_is_served_with_greenlets_until_it_is_interrupted(serve):
    server = serve()
    site = Site(server.port)
    with site.connect_with("") as client:
        assert ask(client, "/patched")["data"] == {"patched": True}
        assert site.http("GET", "/defect").status == 500
        server.wait_for_output(r'"GET /defect HTTP/1.1" 500')

        server.process.send_signal(signal.SIGINT)
        assert client.wait_for_close() == (1001, "shutting down")

    assert server.process.wait(DEADLINE) == 0
    assert "good bye alice" in server.output()
    assert "Debugger" not in server.output()


def test_a_change_of_the_code_is_served_and_clients_are_told_to_come_back(serve, project):
    server = serve("--reload")
    with Site(server.port).connect_with("") as client:
        assert ask(client, "/version")["reason"] == "first"
        seen = server.line_count
        project.save(project.code.replace("first", "second"))
        assert client.wait_for_close() == (1001, "shutting down")

    server.wait_until_it_listens(seen)
    with Site(server.port).connect_with("") as client:
        assert ask(client, "/version")["reason"] == "second"


def test_a_defect_is_shown_until_a_change_mends_it(serve, project):
    server = serve(FLASK_DEBUG="1")
    server.allow_traceback("SyntaxError")
    server.allow_traceback("ValueError: of the view")
    assert "of the view" in Site(server.port).http("GET", "/defect").text

    seen = server.line_count
    project.save(project.code + "1 +\n")
    server.wait_until_it_listens(seen)
    page = Site(server.port).http("GET", "/")
    assert page.status == 500
    assert "SyntaxError" in page.text

    seen = server.line_count
    project.save(project.code)
    server.wait_until_it_listens(seen)
    with Site(server.port).connect_with("") as client:
        assert ask(client, "/version")["status"] == 200


@pytest.mark.parametrize("args", [[], ["--reload"]], ids=["plain", "reloader"])
def test_a_port_that_is_taken_is_told_in_one_line(project, args):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = ["-m", "flask", "protoo", "run", "--port", port, *args]
        server = run("flask protoo run", command, cwd=project.path, FLASK_APP="app.py")
        assert server.process.wait(DEADLINE) == 1
        server.stop()
    assert f"Error: cannot serve on 127.0.0.1:{port}: " in server.output()
    assert "Traceback" not in server.output()


def test_a_key_without_a_certificate_is_refused(project):
    command = ["-m", "flask", "protoo", "run", "--key", "app.py"]
    server = run("flask protoo run", command, cwd=project.path, FLASK_APP="app.py")
    assert server.process.wait(DEADLINE) == 2
    server.stop()
    assert "--key is the key of a certificate: name that one with --cert" in server.output()
