"""Servers of gevent in threads of one process: who owns the peers, and who may call."""

from __future__ import annotations

import os
import sys
import textwrap
import threading
import warnings
from pathlib import Path

import gevent.event
import pytest
from flask import Flask, request, session

from protoo_flask import Protoo, Request
from protoo_flask.core.errors import ServerStopped

from .clients import Site, eventually
from .hub_thread import serve
from .processes import DEADLINE, run


def make_app(name="hub", protoo=None, **options):
    app = Flask(name)
    app.secret_key = "secret"
    protoo = protoo or Protoo(**options)
    protoo.init_app(app)

    @app.get("/login/<username>")
    def login(username):
        session["username"] = username
        return "welcome"

    return app, protoo


def test_before_the_first_client_there_is_nobody_to_call():
    app, protoo = make_app()
    with serve(app) as server:
        assert protoo.peers() == []
        assert protoo.peer("alice", "a1") is None
        assert protoo.disconnect("alice") == 0
        assert protoo.broadcast(protoo.peers(), "news") == 0
        # The call has made no owner: the hub of the first client becomes it.
        with Site(server.port).connect("alice") as client:
            eventually(lambda: len(protoo.peers("alice")), 1)
            assert protoo.disconnect("alice") == 1
            assert client.wait_for_close()[0] == 3001


def test_the_usual_time_outs_go_on_after_a_call_from_a_thread():
    app, protoo = make_app(request_timeout=0.1, response_timeout=0.1, ping_interval=0.1)
    protoo.get("/forgotten")(lambda req, next: None)
    with serve(app) as server, Site(server.port).connect("alice") as client:
        eventually(lambda: len(protoo.peers("alice")), 1)
        (peer,) = protoo.peers("alice")
        # The first request of all starts the timer that all requests share.
        assert peer.request("question").status == 408
        client.expect("question")
        statuses = []
        peer.send(Request("question"), lambda response: statuses.append(response.status))
        client.expect("question")
        eventually(lambda: statuses, [408])
        assert client.request("get", "/forgotten")["status"] == 504


@pytest.fixture
def frequent_switches():
    """Switch threads as often as possible."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def test_calls_of_many_threads_at_once_all_arrive(frequent_switches):
    app, protoo = make_app(max_outbox=10_000_000)
    protoo.get("/echo")(lambda req, next: req.reply(200, "OK", req.data))
    with serve(app) as server, Site(server.port).connect("alice") as client:
        eventually(lambda: len(protoo.peers("alice")), 1)
        (peer,) = protoo.peers("alice")
        outcomes = []

        def work(name):
            for n in range(50):
                peer.notify("news", {"thread": name, "n": n})
                question = Request("question")
                transaction = peer.send(question, timeout=60)
                if n % 2:
                    transaction.cancel()
                else:
                    outcomes.append(transaction.wait(DEADLINE).data)

        threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
        for thread in threads:
            thread.start()
        news = {name: [] for name in range(8)}
        answered = 0
        while answered < 400 or sum(map(len, news.values())) < 400:
            message = client.receive()
            if message["method"] == "news":
                news[message["data"]["thread"]].append(message["data"]["n"])
            else:
                answered += 1
                client.respond(message, 200, n=answered)
        for thread in threads:
            thread.join(DEADLINE)
        assert news == {name: list(range(50)) for name in range(8)}
        assert len(outcomes) == 200
        assert all(outcomes)
        client.nothing_came()


def test_a_thread_closes_the_site():
    app, protoo = make_app()
    offline = []
    protoo.on("offline", lambda peer: offline.append(peer.uuid))
    with serve(app) as server, Site(server.port).connect("alice") as client:
        eventually(lambda: len(protoo.peers("alice")), 1)
        protoo.close()
        assert protoo.peers() == []
        assert client.wait_for_close() == (1001, "shutting down")
        eventually(lambda: offline, ["a1"])
        assert Site(server.port).knock("?uuid=b1").status == 503


def test_a_thread_disconnects_a_user_whose_handshake_is_in_progress():
    app, protoo = make_app()
    begun, go_on = threading.Event(), gevent.event.Event()

    @protoo.authorize
    def authorize():
        begun.set()
        if "slowly" in request.args:
            go_on.wait()
        return session["username"], request.args["uuid"]

    with serve(app) as server:
        site = Site(server.port)
        with site.connect("bob"):
            begun.clear()
            answers = []
            cookie = site.login("alice")
            thread = threading.Thread(
                target=lambda: answers.append(site.knock("?uuid=a1&slowly", Cookie=cookie))
            )
            thread.start()
            assert begun.wait(DEADLINE)
            assert protoo.disconnect("alice") == 0
            server.run(go_on.set)
            thread.join(DEADLINE)
            (answer,) = answers
            assert (answer.status, answer.text) == (403, "authorization revoked")
            assert protoo.peers("alice") == []


def test_two_apps_on_two_hubs_call_each_other():
    one, first = make_app("one")
    two, second = make_app("two")

    def forward(other):
        def ask(req, next):
            (peer,) = other.peers("bob")
            req.reply(200, "OK", peer.request("question").data)

        return ask

    first.get("/ask")(forward(second))
    second.get("/ask")(forward(first))
    for protoo in (first, second):
        protoo.get("/echo")(lambda req, next: req.reply(200, "OK", req.data))
    with serve(one) as server_one, serve(two) as server_two:
        sites = Site(server_one.port), Site(server_two.port)
        with sites[0].connect("alice") as a1, sites[1].connect("alice") as a2:
            with sites[0].connect("bob") as b1, sites[1].connect("bob") as b2:
                eventually(lambda: len(first.peers() + second.peers()), 4)
                # Both at the same time: neither hub is blocked meanwhile.
                a1.start("get", "/ask")
                a2.start("get", "/ask")
                questions = b1.expect("question"), b2.expect("question")
                for client in (b1, b2):
                    client.nothing_came()
                b1.respond(questions[0], 200, n=1)
                b2.respond(questions[1], 200, n=2)
                assert a1.receive()["data"] == {"n": 2}
                assert a2.receive()["data"] == {"n": 1}
                # A broadcast may reach peers of both.
                assert first.broadcast(first.peers() + second.peers(), "news") == 4
                for client in (a1, a2, b1, b2):
                    client.expect("news")


def test_a_thread_that_the_hub_waits_for_sends_its_messages():
    app, protoo = make_app()

    @protoo.get("/work")
    def work(req, next):
        def send():
            req.reply(100, "working")
            req.peer.notify("news")
            req.peer.send(Request("question"))
            req.reply(200, "done")

        thread = threading.Thread(target=send)
        thread.start()
        thread.join()  # blocks the hub

    with serve(app) as server, Site(server.port).connect("alice") as client:
        client.start("get", "/work")
        assert client.receive()["status"] == 100
        client.expect("news")
        client.expect("question")
        assert client.receive()["status"] == 200


# One app, served several times


def test_an_app_may_be_served_again_in_another_thread():
    app, protoo = make_app(request_timeout=0.1)
    protoo.get("/echo")(lambda req, next: req.reply(200, "OK", req.data))
    for _ in range(2):
        with serve(app) as server, Site(server.port).connect("alice") as client:
            client.nothing_came()
            assert protoo.peers("alice")[0].request("question").status == 408
            client.expect("question")


def test_an_app_may_be_served_by_another_thread_when_nobody_is_connected():
    app, protoo = make_app()
    with serve(app) as old, serve(app) as new:
        Site(old.port).connect("alice").close()
        eventually(protoo.peers, [])
        with Site(new.port).connect("alice") as client:
            eventually(lambda: len(protoo.peers("alice")), 1)
            assert protoo.peers("alice")[0].notify("news")
            client.expect("news")


def test_a_second_hub_is_refused_while_clients_are_connected(caplog):
    app, protoo = make_app()
    with serve(app) as old, serve(app) as new:
        with Site(old.port).connect("alice"):
            eventually(lambda: len(protoo.peers("alice")), 1)
            site = Site(new.port)
            answer = site.knock("?uuid=b1", Cookie=site.login("bob"))
            assert answer.status == 503
            assert "run one gevent server for each app" in answer.text
    assert "cannot upgrade" in caplog.text


def test_a_call_fails_when_the_server_has_ended():
    app, protoo = make_app(drain_timeout=None)  # or the peer would be offline in good order
    with serve(app) as server:
        client = Site(server.port).connect("alice")
        eventually(lambda: len(protoo.peers("alice")), 1)
        (peer,) = protoo.peers("alice")
        transaction = peer.send(Request("question"))
        client.expect("question")
    for call in (
        lambda: peer.notify("news"),
        lambda: peer.request("question"),
        transaction.wait,
        transaction.cancel,
    ):
        with pytest.raises(ServerStopped, match="has been destroyed"):
            call()
    # The peers have gone with their server.
    assert protoo.peers() == []
    assert protoo.peer("alice", "a1") is None
    assert protoo.disconnect("alice") == 0
    protoo.close()
    client.connection.socket.close()
    client.close()


# The end of the process

_SCRIPT = """
import threading
from tests.servers.hub_thread import HubServer
from tests.servers.test_hubs import make_app

app, protoo = make_app()
server = HubServer(app)
print(f"http://127.0.0.1:{server.port}", flush=True)
"""


def run_script(tmp_path: Path, *parts: str):
    script = tmp_path / "script.py"
    script.write_text("\n".join([_SCRIPT, *map(textwrap.dedent, parts)]))
    server = run("script", [str(script)])
    server.wait_until_it_listens()
    return server


def test_clients_are_told_when_a_process_ends_that_serves_in_another_thread(tmp_path):
    server = run_script(tmp_path, "while not protoo.peers('bob'): pass")
    site = Site(server.port)
    with site.connect("alice") as alice, site.connect("bob"):
        assert alice.wait_for_close() == (1001, "shutting down")
        server.process.wait(DEADLINE)
    server.stop()
    assert server.complaints() == []


@pytest.mark.parametrize("close", ["", "atexit.register(protoo.close)"], ids=["end", "close()"])
def test_clients_are_told_when_a_process_ends_that_serves_in_its_main_thread(tmp_path, close):
    script = f"""
import atexit
import gevent
from gevent.pywsgi import WSGIServer
from tests.servers.test_hubs import make_app

app, protoo = make_app()
server = WSGIServer(("127.0.0.1", 0), app)
server.start()
print(f"http://127.0.0.1:{{server.server_port}}", flush=True)
{close}
while not protoo.peers("bob"):
    gevent.sleep(0.01)
"""
    server = run("script", ["-c", script])
    server.wait_until_it_listens()
    site = Site(server.port)
    with site.connect("alice") as alice, site.connect("bob"):
        assert alice.wait_for_close() == (1001, "shutting down")
        server.process.wait(DEADLINE)
    server.stop()
    assert server.complaints() == []


def test_a_thread_that_waits_ends_with_the_process(tmp_path):
    server = run(
        "script",
        [
            "-c",
            textwrap.dedent(
                """
                import threading
                from protoo_flask.core.errors import ServerStopped
                from protoo_flask.transport.greenlets.loop import GreenletLoop

                loop = GreenletLoop()  # the main thread, which ends now, is its owner

                def wait():
                    try:
                        loop.event().wait()
                    except ServerStopped as error:
                        print("stopped:", error, flush=True)

                threading.Thread(target=wait).start()
                """
            ),
        ],
    )
    server.wait_for_output("stopped: the thread that served the app has ended")
    server.process.wait(DEADLINE)
    server.stop()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_process_that_the_hub_has_forked_leaves_the_clients_alone():
    app, protoo = make_app()
    outcomes = []

    @protoo.get("/fork")
    def fork(req, next):
        pid = os.fork()
        if not pid:
            refused = 0
            for call in (
                lambda: req.peer.notify("news"),
                lambda: req.peer.send(Request("question")),
                lambda: req.reply(500),
                lambda: req.peer.close(),
            ):
                try:
                    call()
                except ServerStopped:
                    refused += 1
            os._exit(refused + len(protoo.peers()))
        outcomes.append(os.WEXITSTATUS(os.waitpid(pid, 0)[1]))
        req.reply(200)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # there are other threads
        with serve(app) as server, Site(server.port).connect("alice") as client:
            assert client.request("get", "/fork")["status"] == 200
            assert outcomes == [4]
