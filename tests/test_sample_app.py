"""The sample app's own rules, without a server: logins, and the limits of the tables."""

from __future__ import annotations

import itertools
import json
import time

import pytest

from .joining import join

pytest.importorskip("flask_sqlalchemy")

from sample_app import create_app, logins
from sample_app.calls import open_calls, protoo
from sample_app.models import MAX_SENT, MAX_USERS, Call, Login, Message, User, db


@pytest.fixture
def app(tmp_path):
    uri = f"sqlite:///{tmp_path / 'chat.sqlite'}"
    app = create_app({"SQLALCHEMY_DATABASE_URI": uri, "SECRET_KEY": "of the tests"})
    yield app
    with app.app_context():
        protoo.close()
        db.session.remove()
        db.engine.dispose()


def log_in(app, username="alice", client=None):
    client = client or app.test_client()
    assert client.post("/login", data={"username": username}).status_code == 302
    return client


def is_let_in(client):
    """Whether the page of the chat and a handshake accept the cookie."""
    page, handshake = client.get("/").status_code, client.get("/protoo?uuid=a1").status_code
    assert (page, handshake) in [(200, 426), (302, 401)]
    return page == 200


def token_of(client):
    with client.session_transaction() as found:
        return found["login"]


def count_logins(app):
    with app.app_context():
        return len(db.session.execute(db.select(Login)).all())


def open_page(app, username, login, uuid="a1"):
    """Let a page in whose handshake was authorized with this login. Returns its link."""
    return join(app, username, uuid, {"login": login})._link


# Logins


def test_a_page_that_was_connecting_during_the_logout_is_closed(app):
    client = log_in(app)
    token = token_of(client)
    assert open_page(app, "alice", token, "a1").closed is None
    client.post("/logout")
    link = open_page(app, "alice", token, "a2")  # authorized before the logout
    assert link.closed == (3001, "logged out")


def test_a_login_is_valid_for_its_user_only(app):
    client = log_in(app)
    with client.session_transaction() as found:
        found["username"] = "bob"
    assert not is_let_in(client)


@pytest.mark.parametrize("token", [None, 7, "", ["x"], "%", "0" * 32])
def test_a_session_with_another_token_is_no_login(app, token):
    client = log_in(app)
    with client.session_transaction() as found:
        found["login"] = token
    assert not is_let_in(client)


def test_a_login_ends_after_the_lifetime_of_a_session(app, monkeypatch):
    client = log_in(app)
    lifetime = app.permanent_session_lifetime.total_seconds()
    began = time.time()
    with app.app_context():
        token = token_of(client)
        monkeypatch.setattr(logins.time, "time", lambda: began + lifetime - 1)
        assert logins.is_valid("alice", token)
        monkeypatch.setattr(logins.time, "time", lambda: began + lifetime + 1)
        assert not logins.is_valid("alice", token)
    log_in(app, "bob")
    assert count_logins(app) == 1, "the expired login is still in the table"


def test_the_oldest_login_of_a_user_ends_for_one_too_many(app):
    other = log_in(app, "bob")
    clients = [log_in(app) for _ in range(logins.MAX_LOGINS)]
    link = open_page(app, "alice", token_of(clients[0]))
    assert all(map(is_let_in, clients))
    clients.append(log_in(app))
    assert [is_let_in(client) for client in clients] == [False] + [True] * logins.MAX_LOGINS
    assert link.closed == (3001, "logged out")
    assert is_let_in(other)
    assert count_logins(app) == logins.MAX_LOGINS + 1


def test_logging_in_again_makes_a_new_token_and_ends_the_old_one(app):
    client = log_in(app)
    before = token_of(client)
    log_in(app, client=client)
    assert token_of(client) != before
    assert count_logins(app) == 1


# The tables


def fill(app, model, rows):
    with app.app_context():
        db.session.execute(db.insert(model), rows)
        db.session.commit()


def count(app, model):
    with app.app_context():
        return len(db.session.execute(db.select(model.__table__)).all())


def test_the_site_has_room_for_some_users(app):
    fill(app, User, [{"username": f"user{n}", "created_at": 0} for n in range(MAX_USERS - 1)])
    log_in(app, "alice")
    answer = app.test_client().post("/login", data={"username": "bob"})
    assert answer.status_code == 503
    assert "This site is full." in answer.get_data(as_text=True)
    assert count(app, User) == MAX_USERS
    log_in(app, "alice")
    log_in(app, "user7")


@pytest.fixture
def alice(app):
    """The page of Alice, who has sent almost as many messages as the site keeps, all unread."""
    client = log_in(app)
    log_in(app, "bob")
    message = {"sender": "alice", "recipient": "bob", "text": "", "sent_at": 0, "read_at": None}
    rows = [{**message, "uuid": f"old{n}"} for n in range(MAX_SENT - 1)]
    fill(app, Message, rows)
    return join(app, "alice", "a1", {"login": token_of(client)})


ids = itertools.count(1)


def write(page, uuid, to="bob"):
    """Send a message, and return the statuses and the last reason of its responses."""
    data = {"uuid": uuid, "text": "hi"}
    path = f"/users/{to}"
    message = {"method": "message", "path": path, "id": next(ids), "data": data}
    page.receive(json.dumps(message).encode())
    answers = [it for it in page.peer.link.take_all() if it.get("id") == message["id"]]
    return [answer["status"] for answer in answers], answers[-1]["reason"]


def mark_read(app, *uuids):
    with app.app_context():
        read = db.update(Message).where(Message.uuid.in_(uuids)).values(read_at=1.0)
        db.session.execute(read.execution_options(synchronize_session=False))
        db.session.commit()


def test_a_user_with_too_many_unread_messages_sends_no_more(app, alice):
    assert write(alice, "n1")[0] == [100, 202]
    reason = f"{MAX_SENT} of your messages have not been read yet"
    assert write(alice, "n2") == ([480], reason)
    assert count(app, Message) == MAX_SENT


def test_a_message_that_was_stored_is_not_refused_when_it_is_sent_again(app, alice):
    assert write(alice, "n1")[0] == [100, 202]
    other_page = join(app, "alice", "a2", alice.peer.data)
    assert write(other_page, "n1") == ([100, 200], "already stored")


def test_the_oldest_messages_that_were_read_make_room(app, alice):
    assert write(alice, "n1")[0] == [100, 202]
    mark_read(app, "old7", "old5")
    assert write(alice, "n2")[0] == [100, 202]
    assert count(app, Message) == MAX_SENT
    with app.app_context():
        assert Message.sent_by("alice", "old5") is None
        assert Message.sent_by("alice", "old7") is not None
    assert write(alice, "n3")[0] == [100, 202]
    assert write(alice, "n4")[0] == [480]
    assert count(app, Message) == MAX_SENT


def test_a_flood_of_one_user_leaves_the_messages_of_others(app, alice):
    bob = join(app, "bob", "b1", {"login": token_of(log_in(app, "bob"))})
    assert write(bob, "b", to="alice")[0][0] == 100
    mark_read(app, "b", *(f"old{n}" for n in range(MAX_SENT)))
    for n in range(5):
        assert write(alice, f"n{n}")[0][0] == 100
    with app.app_context():
        assert Message.sent_by("bob", "b") is not None


def test_lines_of_calls_count_and_are_deleted_with_their_call(app, alice):
    with app.app_context():
        message = Message.sent_by("alice", "old0")
        message.call = Call(outcome="answered", has_video=False, duration=1.0)
        message.read_at = 1.0
        db.session.commit()
    assert write(alice, "n1")[0] == [100, 202]
    assert write(alice, "n2")[0] == [100, 202]
    assert count(app, Call) == 0


def test_a_call_of_a_user_without_room_has_no_line(app, alice):
    assert write(alice, "n1")[0] == [100, 202]
    for number in range(2):
        message = {"method": "session", "path": "/users/bob", "id": 7 + number, "data": {}}
        alice.receive(json.dumps(message).encode())
    assert count(app, Call) == 0
    assert count(app, Message) == MAX_SENT


@pytest.fixture
def pages(app):
    """The pages of two users."""
    return {
        name: join(app, name, f"{name}1", {"login": token_of(log_in(app, name))})
        for name in ("alice", "bob")
    }


def start_call(pages):
    """Let Alice call Bob. Returns the request that Bob gets."""
    message = {
        "method": "session",
        "path": "/users/bob",
        "id": next(ids),
        "data": {"description": {}},
    }
    pages["alice"].receive(json.dumps(message).encode())
    [request] = [it for it in pages["bob"].peer.link.take_all() if it.get("method") == "session"]
    return request


def test_a_message_with_the_id_of_a_call_does_not_prevent_its_line(app, pages, caplog):
    path = start_call(pages)["data"]["sessionPath"]
    pages["alice"].peer.link.take_all()
    assert write(pages["alice"], path.rpartition("/")[2])[0][0] == 100
    pages["alice"].receive(json.dumps({"method": "end", "path": path, "id": next(ids)}).encode())
    assert count(app, Message) == 2
    assert count(app, Call) == 1
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
    assert write(pages["alice"], "next")[0][0] == 100


def test_only_calls_that_are_open_are_kept(app, pages):
    request = start_call(pages)
    answer = {"id": request["id"], "status": 200, "reason": "OK", "data": {}}
    pages["bob"].receive(json.dumps(answer).encode())
    path = request["data"]["sessionPath"]
    assert open_calls == {path: ("alice", "bob")}
    pages["alice"].receive(json.dumps({"method": "end", "path": path, "id": next(ids)}).encode())
    assert open_calls == {}


@pytest.mark.parametrize(
    ("name", "status"),
    [("b" * 30, 200), ("b" * 31, 403), ("böb", 403), ("b%2Fb", 403), ("b%0A", 403)],
)
def test_only_names_that_a_user_may_have_are_watched(app, name, status):
    page = join(app, "alice", "a1", {"login": token_of(log_in(app))})
    message = {"method": "subscribe", "path": f"/presence/{name}", "id": 1}
    page.receive(json.dumps(message).encode())
    assert page.peer.link.take()["status"] == status


def test_a_typing_user_has_a_share_of_what_waits_for_a_slow_reader(pages):
    message = {"method": "typing", "path": "/users/bob", "id": next(ids)}
    pages["alice"].receive(json.dumps(message).encode())
    [told] = [it for it in pages["bob"].peer.link.take_all() if it.get("method") == "typing"]
    assert told["data"] == {"username": "alice"}
    assert told["sender"] == {"username": "alice", "uuid": "alice1"}
