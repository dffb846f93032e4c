"""A server that says when to come back: in a close reason, and in the header Retry-After."""

from __future__ import annotations

import time
import urllib.request

import pytest

from protoo_flask.client import Client, Response, connector
from protoo_flask.client.retry_after import parse_close_hint
from protoo_flask.core.errors import UsageError

from .conftest import Events, in_thread
from .scripted_server import DEADLINE, Line, ScriptedServer

HINT = "shutting down; retry-after=2.35"


@pytest.fixture(autouse=True)
def jitter(monkeypatch):
    """Make random times equal to the middle of their range."""
    monkeypatch.setattr("random.uniform", lambda least, most: (least + most) / 2)


def closing(code, reason=""):
    """Return a script that accepts a client, and closes with this code and reason."""

    def script(line):
        line.accept()
        line.close(code, reason)
        line.read_frame()

    return script


def refusing(status, *headers):
    """Return a script that answers a handshake with this status."""

    def script(line):
        line.read_head()
        lines = [f"HTTP/1.1 {status} Answer", "Content-Length: 0", *headers, "", ""]
        line.sock.sendall("\r\n".join(lines).encode())

    return script


def staying(line: Line):
    """Accept a client, and read until it leaves."""
    line.accept()
    while line.read_frame()[0] not in (8, -1):
        pass


def next_close(events):
    """Return the code, the delay and the retry_after of the next close."""
    closed = events.next("close")
    return closed.code, closed.delay, closed.retry_after


# The reason of a close


@pytest.mark.parametrize(
    ("reason", "seconds"),
    [
        ("retry-after=3", 3),
        ("shutting down;retry-after=3", 3),
        ("shutting down; retry-after=3; node=2", 3),
        ("shutting down; node=2; retry-after=3", 3),
        ("; retry-after=007.50", 7.5),
        ("shutting down; retry-after=0.001", 0.001),
        ("shutting down; retry-after=0", 0),
        ("shutting down; retry-after=60", 60),
        ("shutting down; retry-after=60.001", 60),
        ("shutting down; retry-after=" + "9" * 90, 60),
        ("shutting down; retry-after=" + "9" * 400, 60),
        ("shutting down; retry-after=1e9", 0),
        ("shutting down; retry-after=NaN", 0),
        ("shutting down; retry-after=Infinity", 0),
        ("shutting down; retry-after=-2", 0),
        ("shutting down; retry-after=+2", 0),
        ("shutting down; retry-after= 2", 0),
        ("shutting down; retry-after=2 ", 0),
        ("shutting down; retry-after=2\n", 0),
        ("shutting down; retry-after=2s", 0),
        ("shutting down; retry-after=.5", 0),
        ("shutting down; retry-after=2.", 0),
        ("shutting down; retry-after=2,5", 0),
        ("shutting down; retry-after=0x10", 0),
        ("shutting down; retry-after=1_0", 0),
        ("shutting down; retry-after=٣", 0),
        ("shutting down; retry-after=", 0),
        ("shutting down; Retry-After=2", 0),
        ("shutting down retry-after=2", 0),
        ("shutting down; no-retry-after=2", 0),
        ("shutting down", 0),
        ("", 0),
    ],
)
def test_a_hint_is_a_decimal_number_of_seconds_and_a_minute_at_most(reason, seconds):
    assert parse_close_hint(1001, reason) == seconds


@pytest.mark.parametrize("code", [1000, 1005, 1006, 1008, 1009, 1011, 1014, 3000, 3001, 4001])
def test_other_codes_have_no_hint(code):
    assert parse_close_hint(code, HINT) == 0


@pytest.mark.parametrize("code", [1001, 1012, 1013])
def test_the_hint_is_the_wait_before_the_first_attempt_and_then_the_backoff_goes_on(code):
    scripts = [closing(code, HINT), refusing(502), refusing(502), staying]
    with ScriptedServer(*scripts) as server:
        client = Client(server.url)
        events = Events(client, "close", "open")
        client.connect(DEADLINE)
        events.next("open")
        assert next_close(events) == (code, 2.35 + 0.25, 2.35)
        join = in_thread(lambda: client.connect(DEADLINE))  # now, and not after 2.6 s
        assert next_close(events) == (1006, 0.5, 0)
        assert next_close(events) == (1006, 1, 0)
        events.next("open")
        join()
        client.close()


@pytest.mark.parametrize("code", [1001, 1012, 1013])
def test_a_site_may_close_with_a_hint(make_client, server, alice, code):
    client = make_client()
    events = Events(client, "close", "open")
    client.connect(DEADLINE)
    events.next("open")
    page = f"http://127.0.0.1:{server.port}/close/{alice}/{code}?reason=busy;%20retry-after=0.05"
    urllib.request.urlopen(page).close()
    assert next_close(events) == (code, 0.05 + 0.005, 0.05)
    events.next("open")
    assert client.request("get", "/echo").status == 200


@pytest.mark.parametrize("reason", ["shutting down", "shutting down; retry-after=1e9"])
def test_a_close_without_a_hint_is_followed_by_the_first_delay(reason):
    with ScriptedServer(closing(1001, reason), staying) as server:
        client = Client(server.url)
        events = Events(client, "close", "open")
        client.connect(DEADLINE)
        events.next("open")
        assert next_close(events) == (1001, 0.25, 0)
        events.next("open")
        client.close()


@pytest.mark.parametrize(("code", "reconnect"), [(1000, (0.5, 30)), (3001, (1, 1)), (1001, None)])
def test_a_hint_does_not_make_a_client_come_back_that_would_not(code, reconnect):
    with ScriptedServer(closing(code, HINT)) as server:
        client = Client(server.url, reconnect=reconnect)
        events = Events(client, "close")
        client.connect(DEADLINE)
        closed = events.next("close")
        assert (closed.will_reconnect, closed.delay, closed.retry_after) == (False, None, 0)
        assert client.state == "closed"


def test_a_client_comes_back_by_itself_at_the_time_of_the_hint(monkeypatch):
    """The clock of the client's wait is moved by hand."""
    waits = []

    def pass_time(predicate, timeout=None):
        waits.append(timeout)
        return wait_for(predicate, 0 if timeout == 2.6 else timeout)

    with ScriptedServer(closing(1001, HINT), staying) as server:
        client = Client(server.url)
        changed = client._connector._changed
        wait_for = changed.wait_for
        monkeypatch.setattr(changed, "wait_for", pass_time)
        events = Events(client, "close", "open")
        client.connect(DEADLINE)
        for event in ("open", "close", "open"):
            events.next(event)
        client.close()
    assert waits == [DEADLINE, 2.6]


def test_closing_ends_the_wait():
    with ScriptedServer(closing(1001, "retry-after=60")) as server:
        client = Client(server.url)
        events = Events(client, "close")
        client.connect(DEADLINE)
        assert events.next("close").will_reconnect
        client.close()
        closed = events.next("close")
        assert (closed.code, closed.will_reconnect) == (1000, False)


def test_requests_wait_and_repeated_ones_are_answered_once():
    seen = []

    def goes(line):
        line.accept()
        seen.extend(line.read_text() for _ in range(2))
        line.close(1001, HINT)
        line.read_frame()

    def comes(line):
        line.accept()
        for text in [line.read_text() for _ in range(3)]:
            seen.append(text)
            if '"id"' in text:
                id = text.split('"id":')[1].split(",")[0].strip(" }")
                for reason in ("first", "second"):
                    line.send(f'{{"status": 200, "reason": "{reason}", "id": {id}}}')
        line.read_frame()

    with ScriptedServer(goes, comes) as server:
        client = Client(server.url)
        events = Events(client, "close")
        client.connect(DEADLINE)
        lost = client.send("get", "/lost")
        repeated = client.send("get", "/repeated", repeat=True)
        events.next("close")
        assert lost.wait(DEADLINE).reason == f"connection lost (1001 {HINT})"
        waiting = client.send("get", "/waiting")
        client.notify("note", "/note")
        client.connect(DEADLINE)
        assert repeated.wait(DEADLINE).reason == "first"
        assert waiting.wait(DEADLINE).reason == "first"
        assert [response.reason for response in repeated] == ["first"]
        client.close()
    assert ["/lost" in seen[0], *("/repeated" in text for text in seen[1:3])] == [True] * 3
    assert seen[1] == seen[2], "the same id"
    assert ["/waiting" in seen[3], "/note" in seen[4]] == [True, True]


# Retry-After


@pytest.mark.parametrize("status", [429, 503])
def test_a_refused_handshake_is_told_with_the_time_in_its_header(status):
    scripts = [refusing(status, "Retry-After: 50", "Protoo-Handshake: later"), staying]
    with ScriptedServer(*scripts) as server:
        client = Client(server.url)
        events = Events(client, "close", "open")
        join = in_thread(lambda: client.connect(DEADLINE))
        assert next_close(events) == (1006, 50.25, 50)
        client.connect(DEADLINE)  # a person says so
        events.next("open")
        join()
        client.close()


def test_the_delay_grows_behind_servers_that_close_with_a_hint_at_once(monkeypatch):
    monkeypatch.setattr(connector, "STABLE_AFTER", 1e9)
    with ScriptedServer(*[closing(1012, HINT)] * 3) as server:
        client = Client(server.url)
        events = Events(client, "close")
        for jitter in (0.25, 0.5, 1):
            client.connect(DEADLINE)
            assert next_close(events) == (1012, 2.35 + jitter, 2.35)
        client.close()


# Requests that a limit refuses


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        (0.5, 0.5),
        (2, 2),
        (3600, 3600),
        (3601, 3600),
        (1e300, 3600),
        (10**400, 3600),
        (float("inf"), 3600),
        (float("nan"), 0),
        (0, 0),
        (-1, 0),
        (True, 0),
        ("2", 0),
        (None, 0),
        ([2], 0),
    ],
)
def test_the_time_of_a_limit_is_a_number_of_seconds_and_an_hour_at_most(status, told, seconds):
    assert Response(status, "", {"retryAfter": told}).retry_after == seconds


def test_other_responses_have_no_such_time():
    assert [Response(status).retry_after for status in (200, 429, 503)] == [0, 0, 0]
    others = (200, 404, 428, 430, 500, 502, 504)
    assert {Response(status, "", {"retryAfter": 1}).retry_after for status in others} == {0}


@pytest.fixture
def limited(make_client, monkeypatch):
    """Return a client whose time is moved by hand, and its pauses."""
    client = make_client().connect(DEADLINE)
    pauses = []
    monkeypatch.setattr(client._connector, "rest", pauses.append)
    return client, pauses


def test_a_refused_request_is_made_again_only_if_the_program_says_so(limited):
    client, pauses = limited
    # The server refuses it for the first two times.
    data = {"name": "default", "count": 2, "retryAfter": 0.5}
    response = client.request("get", "/limited", data)
    assert (response.status, response.retry_after, pauses) == (429, 0.5, [])
    assert client.request("get", "/limited", data, retries=1).status == 200
    assert pauses == [0.75]


@pytest.mark.parametrize(("retries", "status", "seen"), [(1, 429, 2), (2, 200, 3), (9, 200, 3)])
def test_a_refused_request_is_made_again_so_many_times(limited, retries, status, seen):
    client, pauses = limited
    data = {"name": f"times {retries}", "count": 2, "retryAfter": 0.01}
    response = client.request("get", "/limited", data, retries=retries)
    assert (response.status, response.data["seen"], len(pauses)) == (status, seen, seen - 1)


@pytest.mark.parametrize("told", [None, 15.1, "soon"])
def test_a_request_that_would_be_too_late_is_not_made_again(limited, told):
    client, pauses = limited
    data = {"name": f"late {told}", "count": 1, "retryAfter": told}
    response = client.request("get", "/limited", data, retries=9)
    assert (response.status, response.data["seen"], pauses) == (429, 1, [])


def test_a_program_that_slept_too_long_gets_the_refusal(make_client, monkeypatch):
    client = make_client().connect(DEADLINE)
    monkeypatch.setattr(
        client._connector, "rest", lambda seconds: monkeypatch.setattr("time.monotonic", late)
    )
    now = time.monotonic

    def late():
        return now() + 60

    data = {"name": "slept", "count": 1, "retryAfter": 0.01}
    response = client.request("get", "/limited", data, retries=1)
    monkeypatch.undo()
    assert (response.status, response.data["seen"]) == (429, 1)


def test_closing_ends_the_pause(make_client):
    client = make_client().connect(DEADLINE)
    data = {"name": "closing", "count": 1, "retryAfter": 600}
    refused = in_thread(lambda: client.request("get", "/limited", data, retries=1, timeout=9e5))
    while client.request("get", "/limited/closing").data["seen"] == 0:
        pass
    client.close()
    response = refused()
    assert (response.status, response.is_local) == (410, True)


@pytest.mark.parametrize("retries", [-1, 1.5, "1", None, True])
def test_retries_are_a_number(make_client, retries):
    with pytest.raises(UsageError, match=r"request\(retries\) takes an integer from 0, not"):
        make_client().request("get", "/echo", retries=retries)
