"""Servers that cannot hold connections: refused with a sentence, and their pages go on."""

from __future__ import annotations

import socket

import pytest

from . import sites
from .clients import CLOSE, RawClient, Site
from .processes import DEADLINE, start

PATCH = "from gevent import monkey; monkey.patch_all()\n"

POOL = "a few threads for all requests, and each connection would keep one"
REASON = (
    "gevent-websocket has answered the handshake: use gunicorn --worker-class gevent, "
    "or pywsgi without handler_class"
)

ONE = "one request at a time, and a connection would block it"


def check_that_it_refuses(server, reason):
    """See that clients are refused many times, with one line in the log."""
    site = Site(server.port)
    cookie = site.login("alice")
    for number in range(5):
        answer = site.knock(f"?uuid={number}", Cookie=cookie)
        assert answer.status == 500
        assert reason in answer.text
        assert "use gunicorn --worker-class gevent" in answer.text
        assert site.get("/hello") == "hello from main"
    # A page asks here for the reason, and 426 would mean that a handshake is welcome.
    plain = site.http("GET", "/protoo", {"Cookie": cookie})
    assert (plain.status, plain.text) == (500, answer.text)
    assert site.knock().status == 403
    server.wait_for_output("cannot upgrade: .*use gunicorn --worker-class gevent")
    assert server.output().count("cannot upgrade") == 1
    assert server.complaints() == []


@pytest.mark.parametrize("patched", [False, True], ids=["plain", "patched by gevent"])
@pytest.mark.parametrize(
    ("options", "reason"),
    [(["-k", "sync"], ONE), (["-k", "gthread", "--threads", "3"], POOL)],
    ids=["sync", "gthread"],
)
def test_workers_of_gunicorn_but_gevents_are_refused(
    start_gunicorn, tmp_path, options, reason, patched
):
    config = tmp_path / "gunicorn.conf.py"
    config.write_text(PATCH if patched else "")
    server = start_gunicorn(*options, "-c", str(config), "--bind", "127.0.0.1:0")

    check_that_it_refuses(server, reason)


FLASK_RUN = "import sys; from flask.cli import main; sys.argv[0] = 'flask'; main()"


@pytest.mark.parametrize("patch", ["", PATCH], ids=["plain", "patched by gevent"])
def test_the_development_server_without_threads_is_refused(tmp_path, patch):
    command = ["-c", patch + FLASK_RUN, "run", "--without-threads", "--port", "0"]
    server = start("flask-run", command, **{sites.DATABASE: str(tmp_path / "database")})
    try:
        check_that_it_refuses(server, ONE)
    finally:
        server.stop()


# Servers that have answered the handshake -----------------------------------------------


def start_pywsgi(tmp_path):
    program = PATCH + (
        "from gevent.pywsgi import WSGIServer\n"
        "from tests.servers.answering_server import AnsweringHandler\n"
        "from tests.servers.sites import create_app\n"
        "server = WSGIServer(('127.0.0.1', 0), create_app(), handler_class=AnsweringHandler)\n"
        "server.start()\n"
        "print('http://127.0.0.1:%d' % server.server_port)\n"
        "server.serve_forever()\n"
    )
    return start("pywsgi", ["-c", program], **{sites.DATABASE: str(tmp_path / "database")})


def start_worker(tmp_path):
    worker = "tests.servers.answering_server.AnsweringWorker"
    command = [
        "-m",
        "gunicorn",
        "-k",
        worker,
        "--bind",
        "127.0.0.1:0",
        "tests.servers.sites:create_app()",
    ]
    return start("gunicorn", command, **{sites.DATABASE: str(tmp_path / "database")})


@pytest.mark.parametrize("start_server", [start_pywsgi, start_worker], ids=["pywsgi", "gunicorn"])
def test_a_server_that_has_answered_the_handshake_is_refused(start_server, tmp_path):
    server = start_server(tmp_path)
    try:
        site = Site(server.port)
        cookie = site.login("alice")
        for _ in range(3):
            sock = socket.create_connection(("127.0.0.1", server.port), DEADLINE)
            with sock, RawClient(sock, "/protoo?uuid=a1", Host=site.host, Cookie=cookie) as raw:
                assert raw.status == 101
                assert raw.read_frame() == (CLOSE, (1011).to_bytes(2, "big") + REASON.encode())
                # Neither a second answer nor a second Close.
                with pytest.raises(EOFError):
                    raw.read_frame()
        plain = site.http("GET", "/protoo", {"Cookie": cookie})
        assert (plain.status, plain.text) == (500, REASON)
        assert site.get("/hello") == "hello from main"
        server.wait_for_output("cannot upgrade: " + REASON)
        assert server.output().count("cannot upgrade") == 1
    finally:
        server.stop()
    assert server.complaints() == []
