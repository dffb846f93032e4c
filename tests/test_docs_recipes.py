"""docs/recipes.md tells the truth: its examples run on real servers, and do what it says."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Iterator

import pytest
from flask import Flask, session
from flask.sessions import SecureCookieSessionInterface
from sqlalchemy import event

from .joining import join
from .servers.clients import Site, eventually
from .servers.processes import DEADLINE, ROOT, Server, start

PAGE = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")

BLOCK = re.compile(
    r"(?:<!-- (?P<mark>recipe|file): (?P<name>\S+) -->\n)?```python\n(?P<source>.*?)```", re.DOTALL
)
BLOCKS = list(BLOCK.finditer(PAGE))
BEGINNING = BLOCKS[0]["source"]
RECIPES = {block["name"]: block["source"] for block in BLOCKS if block["mark"] == "recipe"}
FILES = {block["name"]: block["source"] for block in BLOCKS if block["mark"] == "file"}

#: The parts of a site that the page leaves out, and the views for the tests.
REST_OF_THE_SITE = """
@app.get("/login/<username>")
def log_in_for_test(username):
    db.session.merge(User(username=username, full_name=username.title()))
    db.session.commit()
    globals().get("log_in", lambda name: session.update(username=name))(username)
    return "welcome"

@app.post("/befriend/<username>/<friend>")
def befriend(username, friend):
    for pair in ((username, friend), (friend, username)):
        db.session.merge(Friendship(username=pair[0], friend=pair[1]))
    db.session.commit()
    return ""

@app.get("/waiting/<username>")
def waiting_for(username):
    return str(Waiting.query.filter_by(username=username).count())

@app.get("/peers/<username>")
def uuids_of(username):
    return " ".join(sorted(peer.uuid for peer in protoo.peers(username)))

@protoo.get("/echo")
def echo(req, next):
    req.reply(200, "OK", req.data)

with app.app_context():
    db.create_all()
"""

MAIN = """
from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware
import {modules}

app = Flask("main")
app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {{{mounts}}})
"""

SECRET = "0123456789abcdef0123456789abcdef"

sessions = SecureCookieSessionInterface()

HAS_FLASK_WTF = importlib.util.find_spec("flask_wtf") is not None

#: {kind: (arguments for Python, the signal with which users stop it)}
SERVERS = {
    "gunicorn": (
        ["-m", "gunicorn", "-k", "gevent", "--bind", "127.0.0.1:0", "main:app"],
        signal.SIGTERM,
    ),
    "pywsgi": (["-m", "protoo_flask", "main:app", "--port", "0"], signal.SIGTERM),
    "flask-run": (["-m", "flask", "run", "--port", "0"], signal.SIGINT),
}


def write_site(folder: Path, name: str) -> str:
    """Write the site of a recipe; returns the name of its module."""
    module = f"{name}_site"
    source = f"{BEGINNING}\n{RECIPES[name]}\n{REST_OF_THE_SITE}"
    (folder / f"{module}.py").write_text(source, encoding="utf-8")
    return module


@pytest.fixture(scope="module", params=SERVERS)
def server(request: Any, tmp_path_factory: Any) -> Iterator[Server]:
    """A server with the site of each recipe below /NAME; see it for a folder with all files."""
    folder = tmp_path_factory.mktemp(request.param)
    names = [name for name in RECIPES if name != "csrf" or HAS_FLASK_WTF]
    modules = {name: write_site(folder, name) for name in names}
    mounts = ", ".join(f'"/{name}": {module}.app' for name, module in modules.items())
    main = MAIN.format(modules=", ".join(modules.values()), mounts=mounts)
    (folder / "main.py").write_text(main, encoding="utf-8")
    for name, source in FILES.items():
        (folder / name).write_text(source, encoding="utf-8")
    arguments, stop_signal = SERVERS[request.param]
    server = start(
        request.param,
        arguments,
        cwd=folder,
        stop_signal=stop_signal,
        FLASK_APP="main",
        PUSH_SECRET=SECRET,
    )
    server.folder = folder
    yield server
    server.stop()
    assert server.complaints() == []


@pytest.fixture
def site_of(server):
    """Return a function that returns the site of a recipe."""
    return lambda name: Site(server.port, f"/{name}")


_numbers = itertools.count(1)


@pytest.fixture
def alice() -> str:
    return f"alice-{next(_numbers)}"


@pytest.fixture
def bob() -> str:
    return f"bob-{next(_numbers)}"


def status_line(answer):
    return answer["status"], answer["reason"]


def test_every_recipe_is_one_that_is_tested():
    names = {
        "budget",
        "csrf",
        "friends",
        "job",
        "login",
        "logins",
        "names",
        "offline",
        "thread",
        "view",
    }
    assert set(RECIPES) == names
    assert set(FILES) == {"pushing.py"}
    # The beginning, and the Celery task.
    assert len(BLOCKS) == len(names) + 3


@pytest.mark.parametrize("page", ["README.md", *map(str, (ROOT / "docs").glob("*.md"))])
def test_links_to_a_recipe_lead_to_a_heading(page):
    headings = re.findall(r"^## (.*)", PAGE, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    text = (ROOT / page).read_text(encoding="utf-8")
    assert set(re.findall(r"recipes\.md#([\w-]+)", text)) <= anchors


# Friends only


@pytest.mark.parametrize("method", ["message", "session", "subscribe"])
@pytest.mark.parametrize("whom", ["online", "offline", "unknown"])
def test_a_stranger_learns_nothing(site_of, alice, bob, method, whom):
    site = site_of("friends")
    path = f"/presence/{bob}" if method == "subscribe" else f"/users/{bob}"
    verb = {"message": "write to", "session": "call", "subscribe": "watch"}[method]
    if whom == "offline":
        site.login(bob)
    with site.connect(alice) as a:
        if whom == "online":
            with site.connect(bob, "b1") as b:
                answer = a.request(method, path)
                if method != "subscribe":
                    assert a.request(method, f"{path}/b1")["status"] == 403
                    a.notify(method, f"{path}/b1")
                a.nothing_came()
                b.nothing_came()
        else:
            answer = a.request(method, path)
    assert status_line(answer) == (403, f"you may not {verb} this user")
    assert answer["data"] == {}


def test_friends_may_do_everything(site_of, alice, bob):
    site = site_of("friends")
    site.post(f"/befriend/{alice}/{bob}")
    with site.connect(alice) as a, site.connect(bob) as b:
        assert a.request("subscribe", f"/presence/{bob}")["data"]["online"] is True
        id = a.start("message", f"/users/{bob}", {"text": "hi"})
        b.respond(b.expect("message"), 200, "got it")
        assert a.receive() == {"status": 200, "reason": "got it", "id": id, "data": {}}
        assert a.request("session", f"/users/{bob}")["status"] == 100
        b.respond(b.expect("session"), 486, "busy")
        assert status_line(a.receive()) == (486, "busy")
        assert a.request("unsubscribe", f"/presence/{bob}")["status"] == 200


def test_a_user_may_write_to_the_users_own_devices(site_of, alice):
    site = site_of("friends")
    with site.connect(alice, "a1") as one, site.connect(alice, "a2") as other:
        one.start("message", f"/users/{alice}")
        other.respond(other.expect("message"), 200)
        assert one.receive()["status"] == 200


# Offline messages


def send_to_absent(site, alice, bob, *texts):
    """Let Bob have an account, and write to him."""
    site.login(bob)
    with site.connect(alice, "a1") as a:
        for text in texts:
            answer = a.request("message", f"/users/{bob}", {"text": text})
            assert status_line(answer) == (202, "stored")


def test_stored_messages_are_delivered_in_order_and_once(site_of, alice, bob):
    site = site_of("offline")
    send_to_absent(site, alice, bob, "one", "two")
    with site.connect(bob, "b1") as b:
        seen = []
        for text in ("one", "two"):
            message = b.expect("message")
            assert message["sender"] == {"username": alice, "uuid": "a1"}
            assert message["data"]["text"] == text
            seen.append(message["data"]["stored"])
            b.respond(message, 200)
        b.nothing_came()
        assert seen == sorted(set(seen))
    with site.connect(bob, "b1") as b:
        b.nothing_came()
    assert site.get(f"/waiting/{bob}") == "0"


def test_a_message_that_was_not_accepted_comes_again_with_the_same_number(site_of, alice, bob):
    site = site_of("offline")
    send_to_absent(site, alice, bob, "one", "two")
    with site.connect(bob, "b1") as b:
        first = b.expect("message")["data"]
    eventually(lambda: site.get(f"/peers/{bob}"), "")
    with site.connect(bob, "b2") as b:
        message = b.expect("message")
        assert message["data"] == first
        b.respond(message, 200)
        message = b.expect("message")
        assert message["data"]["text"] == "two"
        b.respond(message, 200)
        b.nothing_came()
    assert site.get(f"/waiting/{bob}") == "0"


def test_a_rejected_message_stays_and_the_next_ones_are_tried(site_of, alice, bob):
    site = site_of("offline")
    send_to_absent(site, alice, bob, "one", "two")
    with site.connect(bob, "b1") as b:
        b.respond(b.expect("message"), 404, "no chat here")
        b.respond(b.expect("message"), 200)
        b.nothing_came()
    with site.connect(bob, "b1") as b:
        message = b.expect("message")
        assert message["data"]["text"] == "one"
        b.respond(message, 200)
        b.nothing_came()


def test_of_two_devices_that_come_at_once_one_gets_the_message(site_of, alice, bob):
    site = site_of("offline")
    send_to_absent(site, alice, bob, "one", "two")
    with site.connect(bob, "b1") as one, site.connect(bob, "b2") as other:
        message = one.expect("message")
        one.respond(message, 200)
        one.respond(one.expect("message"), 200)
        one.nothing_came()
        eventually(lambda: site.get(f"/waiting/{bob}"), "0")
        other.nothing_came()


def test_the_second_of_two_devices_gets_what_the_first_did_not_accept(site_of, alice, bob):
    site = site_of("offline")
    send_to_absent(site, alice, bob, "one")
    with site.connect(bob, "b2") as other:
        message = other.expect("message")
        with site.connect(bob, "b1") as one:
            other.close()
            assert one.expect("message")["data"] == message["data"]


def test_a_sender_cannot_make_up_the_number_of_a_stored_message(site_of, alice, bob):
    # A page that has seen a number ignores it: a made-up one would hide somebody's message.
    site = site_of("offline")
    site.login(bob)
    with site.connect(alice) as a:
        a.request("message", f"/users/{bob}", {"stored": 10**6})
        with site.connect(bob) as b:
            message = b.expect("message")
            assert message["data"]["stored"] < 10**6
            b.respond(message, 200)
            b.nothing_came()
            a.start("message", f"/users/{bob}", {"stored": 10**6})
            message = b.expect("message")
            assert message["data"] == {}
            b.respond(message, 200)
            assert a.receive()["status"] == 200


def test_no_message_is_stored_for_a_user_that_does_not_exist(site_of, alice):
    site = site_of("offline")
    with site.connect(alice) as a:
        assert status_line(a.request("message", "/users/ghost")) == (404, "peer not found")
    assert site.get("/waiting/ghost") == "0"


def test_numbers_of_stored_messages_are_not_used_twice(site_of, alice, bob):
    # SQLite, left alone, gives the number of a deleted last row to the next one.
    site = site_of("offline")
    numbers = []
    for text in ("one", "two"):
        send_to_absent(site, alice, bob, text)
        with site.connect(bob) as b:
            message = b.expect("message")
            numbers.append(message["data"]["stored"])
            b.respond(message, 200)
            b.nothing_came()
        eventually(lambda: site.get(f"/peers/{bob}"), "")
    assert numbers[0] < numbers[1]


@pytest.fixture
def site(tmp_path, monkeypatch, request):
    """The module of a site in this process, with the user Bob: of the one with offline messages."""
    module = write_site(tmp_path, getattr(request, "param", "offline"))
    spec = importlib.util.spec_from_file_location(module, tmp_path / f"{module}.py")
    site = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, module, site)  # Flask looks there for the folder
    spec.loader.exec_module(site)
    with site.app.app_context():
        site.db.session.add(site.User(username="bob"))
        site.db.session.commit()
        site.db.engine.dispose()
    yield site
    site.protoo.close()
    with site.app.app_context():
        site.db.engine.dispose()


def write_to_bob(inbox, text):
    message = {"method": "message", "path": "/users/bob", "id": 1, "data": {"text": text}}
    inbox.receive(json.dumps(message).encode())
    assert status_line(inbox.peer.link.take()) == (202, "stored")


def test_a_silent_device_is_sent_one_message_only(site):
    alice = join(site.app, "alice", "a1")
    for text in ("one", "two"):
        write_to_bob(alice, text)
    bob = join(site.app, "bob", "b1")  # waits for the answer until the time is over
    assert [message["data"]["text"] for message in bob.peer.link.take_all()] == ["one"]
    with site.app.app_context():
        assert site.Waiting.query.count() == 2


def test_a_message_that_is_stored_while_its_user_comes_online_does_not_wait(site):
    """The user is not there when the message is sent, and is when it has been stored."""
    came = []

    def come(message, args, kwargs):
        came.append(join(site.app, "bob", "b1"))

    alice = join(site.app, "alice", "a1")

    def answer():
        message = came[0].peer.link.take()
        assert message["data"]["text"] == "hi"
        came[0].receive(json.dumps({"status": 200, "id": message["id"]}).encode())

    alice.peer.runtime.scheduler.on_wait.append(answer)
    event.listen(site.Waiting, "init", come)
    write_to_bob(alice, "hi")
    assert alice.peer.runtime.scheduler.on_wait == []
    with site.app.app_context():
        assert site.Waiting.query.count() == 0


# Pushing


def test_a_view_pushes_to_every_device(site_of, alice, bob):
    site = site_of("view")
    cookie = site.login(alice)
    with site.connect(bob, "b1") as one, site.connect(bob, "b2") as other:
        answer = site.http("POST", f"/like/{bob}", {"Cookie": cookie})
        assert (answer.status, json.loads(answer.text)) == (200, {"reached": 2})
        for device in (one, other):
            assert device.receive() == {"method": "liked", "data": {"by": alice}}
    assert site.http("POST", f"/like/{bob}").status == 401
    answer = site.http("POST", "/like/nobody", {"Cookie": cookie})
    assert json.loads(answer.text) == {"reached": 0}


def test_a_thread_pushes(site_of, alice, bob):
    site = site_of("thread")
    site.post(f"/befriend/{alice}/{bob}")
    with site.connect(alice) as a:
        answer = site.http("POST", "/export", {"Cookie": site.login(alice)})
        assert answer.status == 202
        assert a.receive() == {"method": "exported", "data": {"friends": 1}}
    assert site.http("POST", "/export").status == 401


def run_job(server, call, secret=SECRET):
    """Call a function of pushing.py in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", f"import pushing; print(pushing.{call})"],
        cwd=server.folder,
        env={
            **os.environ,
            "PUSH_SECRET": secret,
            "PUSH_URL": f"http://127.0.0.1:{server.port}/job/internal/push",
            "no_proxy": "*",
        },
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def test_a_job_in_another_process_pushes(server, site_of, bob):
    with site_of("job").connect(bob, "b1") as b:
        done = run_job(server, f"push({bob!r}, 'report', {{'url': '/reports/7'}})")
        assert done.stdout == "1\n", done.stderr
        assert b.receive() == {"method": "report", "data": {"url": "/reports/7"}}
    done = run_job(server, "push('nobody', 'report', {})")
    assert done.stdout == "0\n", done.stderr


@pytest.mark.parametrize("secret", ["", "wrong", SECRET[:-1], SECRET + "0"])
def test_a_job_with_a_wrong_secret_reaches_nobody(server, site_of, bob, secret):
    with site_of("job").connect(bob, "b1") as b:
        done = run_job(server, f"push({bob!r}, 'report', {{}})", secret)
        assert "HTTP Error 403" in done.stderr
        b.nothing_came()


@pytest.mark.parametrize("given", [None, "", "Bearer", "Bearer \xe4", SECRET])
def test_a_request_without_the_secret_is_refused(site_of, given):
    headers = {} if given is None else {"Authorization": given}
    assert site_of("job").http("POST", "/internal/push", headers).status == 403


def test_a_job_without_a_username_reaches_nobody(server, site_of, bob):
    with site_of("job").connect(bob) as b:
        assert run_job(server, "push(None, 'report', {})").stdout == "0\n"
        b.nothing_came()


@pytest.mark.parametrize("secret", ["", "short"])
def test_a_site_with_a_short_secret_does_not_start(tmp_path, monkeypatch, secret):
    monkeypatch.setenv("PUSH_SECRET", secret)
    with pytest.raises(RuntimeError, match="too short"):
        exec(compile(RECIPES["job"], "docs/recipes.md: job", "exec"), {"app": None})


def test_the_celery_task_compiles():
    (source,) = (block["source"] for block in BLOCKS if "@celery.task" in block["source"])
    compile(source, "docs/recipes.md: Celery", "exec")


# Display names


@pytest.mark.parametrize("forged", [{}, {"name": "Root"}])
def test_messages_calls_and_what_is_inside_them_have_the_name_of_the_sender(
    site_of, alice, bob, forged
):
    site = site_of("names")
    name = alice.title()
    with site.connect(alice) as a, site.connect(bob) as b:
        a.notify("message", f"/users/{bob}", forged)
        assert b.expect("message")["data"] == {"name": name}
        a.start("message", f"/users/{bob}", {"text": "hi", **forged})
        message = b.expect("message")
        assert message["data"] == {"text": "hi", "name": name}
        b.respond(message, 200)
        assert a.receive()["status"] == 200
        path = a.request("session", f"/users/{bob}", forged)["data"]["sessionPath"]
        assert b.expect("session")["data"] == {"sessionPath": path, "name": name}
        a.notify("icecandidate", path, forged)
        assert b.expect("icecandidate")["data"] == {"sessionPath": path, "name": name}
        assert a.request("end", path)["status"] == 200
        assert a.receive()["status"] == 487
        assert b.expect("end")["data"]["reason"] == "canceled"


def test_a_user_that_was_deleted_gets_no_name_and_no_connection(site_of):
    assert site_of("names").knock().status == 403


# One login


def test_a_logout_ends_the_devices_of_one_login(site_of, alice):
    site = site_of("login")
    laptop, phone = site.login(alice), site.login(alice)
    with site.connect_with("?uuid=tab-1", Cookie=laptop) as tab, site.connect_with(
        "?uuid=tab-2", Cookie=laptop
    ) as other_tab, site.connect_with("?uuid=phone", Cookie=phone) as mobile:
        answer = site.http("POST", "/logout", {"Cookie": laptop})
        assert answer.status in (302, 303)
        assert tab.wait_for_close() == (3001, "logged out")
        assert other_tab.wait_for_close() == (3001, "logged out")
        mobile.nothing_came()
        assert site.get(f"/peers/{alice}") == "phone"


def old_session(username):
    """Return the cookie of a session that is older than the recipe."""
    app = Flask("site")
    app.secret_key = "change me"
    return f"session={sessions.get_signing_serializer(app).dumps({'username': username})}"


def test_a_logout_without_a_login_ends_nothing(site_of, alice, bob):
    site = site_of("login")
    with site.connect(alice) as a, site.connect_with("?uuid=b1", Cookie=old_session(bob)) as b:
        assert site.http("POST", "/logout").status in (302, 303)
        a.nothing_came()
        b.nothing_came()


def test_sessions_that_are_older_than_the_recipe_are_one_login(site_of, alice):
    site = site_of("login")
    old = old_session(alice)
    with site.connect(alice, "new") as new, site.connect_with("?uuid=old", Cookie=old) as tab:
        assert site.http("POST", "/logout", {"Cookie": old}).status in (302, 303)
        assert tab.wait_for_close() == (3001, "logged out")
        new.nothing_came()


# Copies of a cookie


def test_a_copy_of_a_cookie_is_no_login_after_the_logout(site_of, alice):
    site = site_of("logins")
    laptop, phone = site.login(alice), site.login(alice)
    with site.connect_with("?uuid=tab", Cookie=laptop) as tab, site.connect_with(
        "?uuid=phone", Cookie=phone
    ) as mobile:
        assert site.http("POST", "/logout", {"Cookie": laptop}).status in (302, 303)
        assert tab.wait_for_close() == (3001, "logged out")
        assert site.knock("?uuid=tab", Cookie=laptop).status == 403
        assert site.http("GET", "/protoo?uuid=tab", {"Cookie": laptop}).status == 403
        assert site.http("POST", "/logout", {"Cookie": laptop}).status in (302, 303)
        mobile.nothing_came()
        assert site.get(f"/peers/{alice}") == "phone"


@pytest.mark.parametrize("site", ["logins"], indirect=True)
def test_a_page_that_was_connecting_during_the_logout_is_closed(site):
    with site.app.test_request_context():
        site.log_in("bob")
        token = session["login"]
    # The authorizer has let both in before the logout.
    assert join(site.app, "bob", "b1", {"login": token})._link.closed is None
    with site.app.test_request_context():
        session["login"] = token
        site.logout()
    assert join(site.app, "bob", "b2", {"login": token})._link.closed == (3001, "logged out")


# CSRF


@pytest.mark.skipif(not HAS_FLASK_WTF, reason="Flask-WTF is not installed")
def test_the_csrf_protection_of_flask_wtf_lets_the_websocket_be(site_of, alice, bob):
    site = site_of("csrf")
    assert "CSRF" in site.http("POST", f"/befriend/{alice}/{bob}").text
    with site.connect(alice) as a, site.connect(bob) as b:
        a.start("message", f"/users/{bob}", {"text": "hi"})
        b.respond(b.expect("message"), 200)
        assert a.receive()["status"] == 200


@pytest.mark.skipif(not HAS_FLASK_WTF, reason="Flask-WTF is not installed")
def test_the_check_of_the_origin_is_the_csrf_protection_of_the_websocket(site_of, alice):
    site = site_of("csrf")
    answer = site.knock(Cookie=site.login(alice), Origin="https://evil.example")
    assert (answer.status, "origin" in answer.text) == (403, True)


# A budget


def test_searches_and_messages_have_one_budget(site_of, alice, bob):
    with site_of("budget").connect(alice) as a:
        answers = [a.request("get", "/search") for _ in range(3)]
        assert [status_line(answer) for answer in answers] == [(200, "OK")] * 3
        refused = a.request("get", "/search")
        assert status_line(refused) == (429, "too many requests")
        assert 1 < refused["data"]["retryAfter"] <= 2
        statuses = {a.request("message", f"/users/{bob}")["status"] for _ in range(60)}
        # Some pass, as a point is gained in a tenth of a second; Bob is not there.
        assert 429 in statuses
        assert statuses <= {404, 429}
