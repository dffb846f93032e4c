"""The sample app's own rules, without a server: logins, and the limits of the tables."""

from __future__ import annotations

import time

import pytest
from flask import request_finished

from protoo_flask.testing import Refused
from sample_app import logins
from sample_app.calls import open_calls
from sample_app.models import MAX_SENT, MAX_USERS, Call, Login, Message, User, db


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


# Logins


def test_a_page_that_was_connecting_during_the_logout_is_closed(app, log_in, open_page):
    browser = log_in("alice")
    token = token_of(browser)
    open_page("alice", "a1", browser)

    def end(sender, **extra):
        logins.delete(Login.token == token)
        db.session.commit()

    # The handshake has been authorized, and the page is not connected yet.
    with request_finished.connected_to(end, app):
        page = open_page("alice", "a2", browser)
    assert page.expect_close(3001) == 3001
    assert page.close_reason == "logged out"


def test_a_login_is_valid_for_its_user_only(log_in):
    client = log_in("alice")
    with client.session_transaction() as found:
        found["username"] = "bob"
    assert not is_let_in(client)


@pytest.mark.parametrize("token", [None, 7, "", ["x"], "%", "0" * 32])
def test_a_session_with_another_token_is_no_login(log_in, token):
    client = log_in("alice")
    with client.session_transaction() as found:
        found["login"] = token
    assert not is_let_in(client)


def test_a_login_ends_after_the_lifetime_of_a_session(app, log_in, monkeypatch):
    client = log_in("alice")
    lifetime = app.permanent_session_lifetime.total_seconds()
    began = time.time()
    with app.app_context():
        token = token_of(client)
        monkeypatch.setattr(logins.time, "time", lambda: began + lifetime - 1)
        assert logins.is_valid("alice", token)
        monkeypatch.setattr(logins.time, "time", lambda: began + lifetime + 1)
        assert not logins.is_valid("alice", token)
    log_in("bob")
    assert count_logins(app) == 1, "the expired login is still in the table"


def test_the_oldest_login_of_a_user_ends_for_one_too_many(app, log_in, open_page):
    other = log_in("bob")
    clients = [log_in("alice") for _ in range(logins.MAX_LOGINS)]
    page = open_page("alice", "a1", clients[0])
    assert all(map(is_let_in, clients))
    clients.append(log_in("alice"))
    assert [is_let_in(client) for client in clients] == [False] + [True] * logins.MAX_LOGINS
    assert page.expect_close(3001) == 3001
    with pytest.raises(Refused):
        page.reconnect()
    assert is_let_in(other)
    assert count_logins(app) == logins.MAX_LOGINS + 1


def test_logging_in_again_makes_a_new_token_and_ends_the_old_one(app, log_in):
    client = log_in("alice")
    before = token_of(client)
    log_in("alice", client)
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


def test_the_site_has_room_for_some_users(app, log_in):
    fill(app, User, [{"username": f"user{n}", "created_at": 0} for n in range(MAX_USERS - 1)])
    log_in("alice")
    answer = app.test_client().post("/login", data={"username": "bob"})
    assert answer.status_code == 503
    assert "This site is full." in answer.get_data(as_text=True)
    assert count(app, User) == MAX_USERS
    log_in("alice")
    log_in("user7")


@pytest.fixture
def browser(log_in):
    """The browser of Alice."""
    return log_in("alice")


@pytest.fixture
def alice(app, log_in, open_page, browser):
    """The page of Alice, who has sent almost as many messages as the site keeps, all unread."""
    log_in("bob")
    message = {"sender": "alice", "recipient": "bob", "text": "", "sent_at": 0, "read_at": None}
    rows = [{**message, "uuid": f"old{n}"} for n in range(MAX_SENT - 1)]
    fill(app, Message, rows)
    return open_page("alice", "a1", browser)


def write(page, uuid, to="bob"):
    """Send a message to a user who does not answer, and return the statuses so far."""
    sent = page.send("message", f"/users/{to}", {"uuid": uuid, "text": "hi"})
    return [response.status for response in sent.responses]


def mark_read(app, *uuids):
    with app.app_context():
        read = db.update(Message).where(Message.uuid.in_(uuids)).values(read_at=1.0)
        db.session.execute(read.execution_options(synchronize_session=False))
        db.session.commit()


def test_a_user_with_too_many_unread_messages_sends_no_more(app, alice):
    assert write(alice, "n1") == [100, 202]
    answer = alice.request("message", "/users/bob", {"uuid": "n2", "text": "hi"})
    assert answer.status == 480
    assert answer.reason == f"{MAX_SENT} of your messages have not been read yet"
    assert count(app, Message) == MAX_SENT


def test_a_message_that_was_stored_is_not_refused_when_it_is_sent_again(open_page, browser, alice):
    assert write(alice, "n1") == [100, 202]
    sent = open_page("alice", "a2", browser).send(
        "message", "/users/bob", {"uuid": "n1", "text": "hi"}
    )
    assert [response.status for response in sent] == [100, 200]
    assert sent.wait().reason == "already stored"


def test_the_oldest_messages_that_were_read_make_room(app, alice):
    assert write(alice, "n1") == [100, 202]
    mark_read(app, "old7", "old5")
    assert write(alice, "n2") == [100, 202]
    assert count(app, Message) == MAX_SENT
    with app.app_context():
        assert Message.sent_by("alice", "old5") is None
        assert Message.sent_by("alice", "old7") is not None
    assert write(alice, "n3") == [100, 202]
    assert write(alice, "n4") == [480]
    assert count(app, Message) == MAX_SENT


def test_a_flood_of_one_user_leaves_the_messages_of_others(app, open_page, alice):
    bob = open_page("bob")
    assert write(bob, "b", to="alice")[0] == 100
    mark_read(app, "b", *(f"old{n}" for n in range(MAX_SENT)))
    for n in range(5):
        assert write(alice, f"n{n}")[0] == 100
    with app.app_context():
        assert Message.sent_by("bob", "b") is not None


def test_lines_of_calls_count_and_are_deleted_with_their_call(app, alice):
    with app.app_context():
        message = Message.sent_by("alice", "old0")
        message.call = Call(outcome="answered", has_video=False, duration=1.0)
        message.read_at = 1.0
        db.session.commit()
    assert write(alice, "n1") == [100, 202]
    assert write(alice, "n2") == [100, 202]
    assert count(app, Call) == 0


def test_a_call_of_a_user_without_room_has_no_line(app, alice):
    assert write(alice, "n1") == [100, 202]
    for _ in range(2):
        assert alice.request("session", "/users/bob").status == 404
    assert count(app, Call) == 0
    assert count(app, Message) == MAX_SENT


def test_a_message_with_the_id_of_a_call_does_not_prevent_its_line(app, open_page, caplog):
    alice, bob = open_page("alice"), open_page("bob")
    alice.send("session", "/users/bob", {"description": {}})
    path = bob.expect_request("session").data["sessionPath"]
    assert write(alice, path.rpartition("/")[2])[0] == 100
    alice.request("end", path)
    assert count(app, Message) == 2
    assert count(app, Call) == 1
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
    assert write(alice, "next")[0] == 100


def test_only_calls_that_are_open_are_kept(open_page):
    alice, bob = open_page("alice"), open_page("bob")
    alice.send("session", "/users/bob", {"description": {}})
    request = bob.expect_request("session")
    request.reply(200, "OK")
    path = request.data["sessionPath"]
    assert list(open_calls) == [path]
    alice.request("end", path)
    assert open_calls == {}


@pytest.mark.parametrize(
    ("name", "status"),
    [("b" * 30, 200), ("b" * 31, 403), ("böb", 403), ("b%2Fb", 403), ("b%0A", 403)],
)
def test_only_names_that_a_user_may_have_are_watched(open_page, name, status):
    assert open_page("alice").request("subscribe", f"/presence/{name}").status == status


def test_a_typing_user_has_a_share_of_what_waits_for_a_slow_reader(open_page):
    alice, bob = open_page("alice"), open_page("bob")
    alice.request("typing", "/users/bob")
    told = bob.expect_notification("typing")
    assert told.data == {"username": "alice"}
    assert told.sender == {"username": "alice", "uuid": "alice1"}
