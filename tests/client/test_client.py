"""Requests, notifications and events of a client, against a real server."""

from __future__ import annotations

import http.cookiejar
import json
import re
import subprocess
import sys
import threading
import urllib.request

import pytest

from protoo_flask.client import Client, Disconnected, Refused
from protoo_flask.core.errors import AlreadyReplied, Unsendable, UsageError

from .conftest import Events, in_thread
from .scripted_server import DEADLINE, ScriptedServer, frame

# Requests


def test_a_request_returns_the_final_response(client):
    response = client.request("get", "/echo", {"text": "hi", "half": "\ud83d"})
    assert (response.status, response.reason) == (200, "OK")
    assert response.data == {"text": "hi", "half": "\ufffd"}
    assert not response.is_local


def test_a_rejection_is_a_response(client):
    assert client.request("get", "/nowhere").status == 404


def test_data_that_is_not_json_is_a_local_400(client):
    response = client.request("get", "/echo", {"object": object()})
    assert (response.status, response.is_local) == (400, True)
    assert client.request("get", "/echo").status == 200
    with pytest.raises(Unsendable):
        client.notify("get", "/echo", {"object": object()})


def test_responses_are_iterated_as_they_come(make_client):
    client = make_client()
    client.on("request", lambda req: seen.acquire() and req.reply(200))
    seen = threading.Semaphore(0)
    client.connect(DEADLINE)
    statuses = []
    for response in client.send("get", "/steps", {"count": 3}):
        statuses.append((response.status, response.data.get("number")))
        seen.release()
    assert statuses == [(180, 0), (180, 1), (180, 2), (200, None)]


def test_on_response_is_told_all_responses_in_the_thread_of_the_listeners(make_client):
    client = make_client()
    client.on("request", lambda req: req.reply(200))
    client.connect(DEADLINE)
    found, done = [], threading.Event()

    def on_response(response):
        found.append(response.status)
        if response.is_final:
            done.set()

    client.send("get", "/steps", {"count": 1}, on_response)
    assert done.wait(DEADLINE)
    assert found == [180, 200]


def test_a_request_can_be_canceled(client):
    transaction = client.send("get", "/hold", {"name": "canceled"})
    next(iter(transaction))
    transaction.cancel()
    assert transaction.wait().status == 487
    client.request("get", "/release")


def test_a_request_ends_with_a_local_408(client):
    response = client.request("get", "/hold", {"name": "late"}, timeout=0.05)
    assert (response.status, response.is_local) == (408, True)
    client.request("get", "/release")


def test_the_usual_time_out_is_an_option(make_client):
    client = make_client(request_timeout=0.05).connect(DEADLINE)
    assert client.request("get", "/hold", {"name": "late"}).status == 408
    client.request("get", "/release")


def test_a_request_may_wait_for_ever(client):
    transaction = client.send("get", "/hold", {"name": "ever"}, timeout=float("inf"))
    next(iter(transaction))
    client.request("get", "/release")
    assert transaction.wait(DEADLINE).data == {"count": 1}


def test_8_threads_send_30_kilobytes_at_once(client):
    text = "x" * 30_000

    def ask(thread):
        return [
            client.request("get", "/echo", {"text": text, "number": (thread, number)}).data
            for number in range(10)
        ]

    joins = [in_thread(lambda thread=thread: ask(thread)) for thread in range(8)]
    for thread, join in enumerate(joins):
        assert join() == [{"text": text, "number": [thread, number]} for number in range(10)]


def test_thousands_of_requests_may_be_under_way(client):
    transactions = [client.send("get", "/echo", {"number": number}) for number in range(3000)]
    assert [each.wait().data["number"] for each in transactions] == list(range(3000))


# Requests of the server, and of other peers


def test_a_listener_answers_and_asks_itself(make_client, alice):
    bob = make_client(f"user=bob-of-{alice}")

    @bob.on("request")
    def answer(req):
        found = bob.request("get", "/echo", {"heard": req.data["text"]})
        req.reply(100, "trying")
        req.reply(200, "got it", {**found.data, "from": req.sender["username"]})
        with pytest.raises(AlreadyReplied):
            req.reply(200)

    bob.connect(DEADLINE)
    client = make_client().connect(DEADLINE)
    response = client.request("message", f"/users/bob-of-{alice}", {"text": "hi"})
    assert (response.status, response.reason) == (200, "got it")
    assert response.data["heard"] == "hi"
    assert response.data["from"] == alice


def test_a_request_of_the_server_has_no_sender(make_client):
    client = make_client()
    client.on("request", lambda req: req.reply(200, "", {"sender": req.sender, **req.data}))
    client.connect(DEADLINE)
    response = client.request("get", "/ask", {"n": 1})
    assert response.data == {"sender": None, "n": 1}


def test_a_listener_may_reply_later_in_another_thread(make_client):
    client = make_client()
    client.on("request", lambda req: in_thread(lambda: req.reply(202, "later")))
    client.connect(DEADLINE)
    assert client.request("get", "/ask").status == 202


def test_without_a_listener_requests_are_answered_404(client):
    assert client.request("get", "/ask").status == 404


@pytest.mark.parametrize("error", [ValueError, SystemExit])
def test_a_listener_that_fails_answers_500_and_the_next_one_is_called(make_client, error, caplog):
    client = make_client()

    @client.on("request")
    def fail(req):
        raise error("broken")

    client.connect(DEADLINE)
    assert client.request("get", "/ask").status == 500
    assert client.request("get", "/ask").status == 500
    assert "error in a listener, at <Request question" in caplog.text


def test_a_reply_that_is_not_json_is_answered_500(make_client, caplog):
    client = make_client()
    client.on("request", lambda req: req.reply(200, "OK", {"object": object()}))
    client.connect(DEADLINE)
    assert client.request("get", "/ask").status == 500


def test_notifications_come_in_order(make_client):
    client = make_client()
    events = Events(client, "notification")
    client.connect(DEADLINE)
    client.request("get", "/flood", {"count": 100})
    found = [events.next("notification") for _ in range(100)]
    assert [req.data["number"] for req in found] == list(range(100))
    assert found[0].method == "drop"
    assert found[0].id is None


def test_a_notification_reaches_another_peer(make_client, alice):
    bob = make_client(f"user=bob-of-{alice}")
    events = Events(bob, "notification")
    bob.connect(DEADLINE)
    make_client().connect(DEADLINE).notify("message", f"/users/bob-of-{alice}", {"text": "hi"})
    req = events.next("notification")
    assert req.data == {"text": "hi"}
    assert req.sender["username"] == alice


# Messages that the client cannot read


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('{"method": "", "id": 7}', 7),
        ('{"id": 7}', 7),
        ('{"method": "m", "id": 7, "data": []}', 7),
        ('{"method": "m", "id": 7, "sender": {"username": "x"}}', 7),
        ('{"method": "m", "id": 0}', None),
        ('{"status": 99, "id": 7}', None),
        ('{"status": 200}', None),
        ("[]", None),
        ("nonsense", None),
        ('{"method": "m", "data": ' + "[" * 5000 + "]" * 5000 + "}", None),
    ],
)
def test_an_unreadable_message_is_answered_where_it_has_an_id(text, answer, caplog):
    def script(line):
        line.accept()
        line.send(text)
        line.send('{"method": "still there?", "id": 8}')
        return [json.loads(line.read_text()) for _ in range(1 if answer is None else 2)]

    with ScriptedServer(script) as server:
        client = Client(server.url, reconnect=None)
        client.on("request", lambda req: req.reply(200))
        client.connect(DEADLINE)
        found = server.stop()[0]
        client.close()
    assert [(each["id"], each["status"]) for each in found][-1] == (8, 200)
    if answer is not None:
        assert (found[0]["id"], found[0]["status"]) == (answer, 400)
    assert "unreadable message of the server" in caplog.text


def test_a_request_that_comes_twice_is_answered_twice_and_handled_once():
    def script(line):
        line.accept()
        request = json.dumps({"method": "m", "id": 7})
        answers = []
        for _ in range(2):
            line.send(request)
            answers.append(line.read_text())
        return answers

    calls = []
    with ScriptedServer(script) as server:
        client = Client(server.url, reconnect=None)

        @client.on("request")
        def count(req):
            calls.append(req)
            req.reply(200, "", {"calls": len(calls)})

        client.connect(DEADLINE)
        first, second = server.stop()[0]
        client.close()
    assert first == second
    assert len(calls) == 1


def test_a_long_message_may_come_in_fragments_with_a_ping_between_them():
    message = {"method": "m", "data": {"text": "ä" * 40_000}}

    def script(line):
        line.accept()
        data = json.dumps(message, ensure_ascii=False).encode()
        # A fragment may end within a character, and be empty.
        first, second = data.index("ä".encode()) + 1, 60_000
        line.sock.sendall(frame(0x1, data[:first], is_last=False))
        line.sock.sendall(frame(0x9, b"ping"))
        line.sock.sendall(frame(0x0, b"", is_last=False))
        line.sock.sendall(frame(0x0, data[first:second], is_last=False))
        line.sock.sendall(frame(0x0, data[second:]))
        line.send('{"method": "next"}')
        return line.read_frame()

    with ScriptedServer(script) as server:
        client = Client(server.url, reconnect=None)
        events = Events(client, "notification")
        client.connect(DEADLINE)
        assert events.next("notification").data == message["data"]
        assert events.next("notification").method == "next"
        assert server.stop() == [(0xA, b"ping")]
        client.close()


# Refusals


def test_a_refusal_is_final_and_told(make_client):
    client = make_client("status=403&user=x")
    events = Events(client, "refused", "close")
    with pytest.raises(Refused) as caught:
        client.connect(DEADLINE)
    assert caught.value.status == 403
    assert caught.value.reason.lower() == "forbidden"
    assert client.state == "closed"
    assert events.next("refused") is caught.value
    closed = events.next("close")
    assert (closed.code, closed.will_reconnect, closed.delay) == (1006, False, None)


def test_a_reason_of_the_authorizer_is_told(server):
    client = Client(f"http://127.0.0.1:{server.port}/protoo")  # not logged in
    with pytest.raises(Refused) as caught:
        client.connect(DEADLINE)
    assert caught.value.status in (401, 403)
    assert "log" in caught.value.reason


@pytest.mark.parametrize(
    ("status", "reconnect", "expected"),
    [
        (403, (1000, 1000), {("refused", "closed"), ("close", "closed")}),
        (503, (1000, 1000), {("close", "waiting")}),
        (503, None, {("close", "closed")}),
    ],
)
def test_listeners_find_the_state_that_they_are_told_of(make_client, status, reconnect, expected):
    client = make_client(f"status={status}&user=x", reconnect=reconnect)
    found, is_told = set(), threading.Event()
    client.on("refused", lambda refused: found.add(("refused", client.state)))
    client.on("close", lambda closed: found.add(("close", client.state)) or is_told.set())
    join = in_thread(lambda: client.connect(DEADLINE))
    assert is_told.wait(DEADLINE)
    assert found == expected
    client.close()
    with pytest.raises((Refused, Disconnected)):
        join()


def test_a_redirect_is_a_refusal(make_client):
    with pytest.raises(Refused) as caught:
        make_client("redirect=/login&user=x").connect(DEADLINE)
    assert caught.value.status == 302
    assert re.fullmatch(r"redirects to (http://.*)?/login", caught.value.reason)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
def test_other_statuses_are_tried_again_after_retry_after(make_client, status, monkeypatch):
    monkeypatch.setattr("random.uniform", lambda least, most: most)
    client = make_client(f"status={status}&after=100&user=x")
    events = Events(client, "refused", "close", "open")
    join = in_thread(lambda: client.connect(DEADLINE))
    closed = events.next("close")
    assert closed.will_reconnect
    assert closed.delay == pytest.approx(100.01)
    assert str(status) in closed.reason
    assert client.state == "waiting"
    client.close()
    with pytest.raises(Disconnected, match="client closed"):
        join()


def test_without_reconnection_a_passing_refusal_is_raised(make_client):
    client = make_client("status=503&after=7&user=x", reconnect=None)
    with pytest.raises(Refused) as caught:
        client.connect(DEADLINE)
    assert (caught.value.status, caught.value.retry_after) == (503, 7)


# Cookies


@pytest.fixture
def jar(server, alice):
    jar = http.cookiejar.CookieJar()
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    opener.open(f"http://127.0.0.1:{server.port}/login/{alice}").close()
    return jar


class LikeASession:
    """As a ``requests.Session``, or an ``httpx.Client``."""

    def __init__(self, cookies):
        self.cookies = cookies


class LikeHttpxCookies(dict):
    def __init__(self, jar):
        super().__init__()
        self.jar = jar


@pytest.mark.parametrize(
    "wrap",
    [
        lambda jar: jar,
        LikeASession,
        LikeHttpxCookies,
        lambda jar: LikeASession(LikeHttpxCookies(jar)),
        lambda jar: {cookie.name: cookie.value for cookie in jar},
    ],
)
def test_cookies_of_any_jar_log_in(server, jar, wrap):
    with Client(f"http://127.0.0.1:{server.port}/protoo", cookies=wrap(jar)) as client:
        assert client.request("get", "/echo").status == 200


def test_cookies_of_a_101_and_of_a_refusal_go_into_the_jar(server):
    jar = http.cookiejar.CookieJar()
    url = f"http://127.0.0.1:{server.port}/protoo"
    with Client(f"{url}?user=cookie-lover", cookies=jar) as client:
        assert client.request("get", "/echo").status == 200
        assert [cookie.name for cookie in jar] == ["session"]
    with pytest.raises(Refused):
        Client(f"{url}?status=403", cookies=jar).connect(DEADLINE)
    assert sorted(cookie.name for cookie in jar) == ["refused", "session"]


def test_cookies_are_read_anew_at_each_attempt(server, jar):
    mine = http.cookiejar.CookieJar()
    client = Client(f"http://127.0.0.1:{server.port}/protoo", cookies=mine)
    with pytest.raises(Refused):
        client.connect(DEADLINE)
    for cookie in jar:
        mine.set_cookie(cookie)
    assert client.connect(DEADLINE).request("get", "/echo").status == 200
    client.close()


# Wrong use


@pytest.mark.parametrize(
    ("arguments", "options", "expected"),
    [
        (("/protoo",), {}, "ws(s) or http(s) URL"),
        (("ftp://x/",), {}, "ws(s) or http(s) URL"),
        (("ws://",), {}, "ws(s) or http(s) URL"),
        (("ws://x:port/",), {}, "ws(s) or http(s) URL"),
        ((None,), {}, "ws(s) or http(s) URL"),
        (("ws://a..b/",), {}, "ws(s) or http(s) URL"),
        (("ws://" + "a" * 70 + ".example/",), {}, "ws(s) or http(s) URL"),
        (("ws://ä..example/",), {}, "ws(s) or http(s) URL"),
        (("ws://x/",), {"headers": {"X": "a\r\nb"}}, "texts of one line"),
        (("ws://x/",), {"headers": {"X": 5}}, "texts of one line in Latin-1, not 'X': 5"),
        (("ws://x/",), {"headers": {"X:": "a"}}, "letters, digits"),
        (("ws://x/",), {"headers": {"": "a"}}, "letters, digits"),
        (("ws://x/",), {"cookies": {"a": "€"}}, "in Latin-1, not 'Cookie': 'a=€'"),
        (("ws://x/",), {"cookies": "a=b"}, "CookieJar, a requests.Session or a dict"),
        (("ws://x/",), {"request_timeout": 0}, "request_timeout takes seconds above 0"),
        (("ws://x/",), {"ping_interval": "1"}, "ping_interval takes seconds above 0"),
        (("ws://x/",), {"reconnect": True}, "reconnect takes seconds (min, max)"),
        (("ws://x/",), {"reconnect": (2, 1)}, "reconnect takes seconds (min, max)"),
        (("ws://x/",), {"reconnect": (0, float("inf"))}, "reconnect takes seconds (min, max)"),
    ],
)
def test_a_value_that_cannot_work_is_an_error(arguments, options, expected):
    with pytest.raises(UsageError) as caught:
        Client(*arguments, **options)
    assert expected in str(caught.value)


def test_wrong_calls_are_errors(client):
    for path in ("users/bob", "", None):
        with pytest.raises(UsageError, match='starts with "/"'):
            client.send("get", path)
    with pytest.raises(UsageError, match="non-empty method"):
        client.send("", "/x")
    with pytest.raises(UsageError, match="did you mean 'close'"):
        client.on("disconnect")
    with pytest.raises(UsageError, match=r"fn\(request\)"):
        client.on("request", lambda: None)
    for code in (1001, "1000", None, 3000.5, True):
        with pytest.raises(UsageError, match="3000 to 4999"):
            client.close(code)


def test_the_url_keeps_its_query_and_gets_the_uuid():
    client = Client("https://user@chat.example:8443/a/protoo?x=1&uuid=old&y=#top", uuid="a b")
    assert client.url == "https://chat.example:8443/a/protoo?x=1&y=&uuid=a+b"


def test_the_path_is_quoted_as_a_browser_does():
    def script(line):
        line.accept()
        line.read_frame()
        return line.head.split(b"\r\n")[0]

    with ScriptedServer(script) as server:
        Client(f"ws://127.0.0.1:{server.port}/a b/ü%20@", uuid="u").connect(DEADLINE).close()
        assert server.stop() == [b"GET /a%20b/%C3%BC%20@?uuid=u HTTP/1.1"]


def test_clients_share_the_thread_of_the_time_limits(make_client, alice):
    ours = threading.enumerate()
    for number in range(3):
        client = make_client(f"user={alice}-{number}").connect(DEADLINE)
        assert client.request("get", "/echo").status == 200
    new = [thread.name for thread in threading.enumerate() if thread not in ours]
    assert new.count("protoo-client") == 3
    assert len(new) <= 4, new


def test_a_child_process_has_time_limits_of_its_own():
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, timeout=60)
    assert (done.stdout, done.returncode) == (b"408 408\n", 0), done.stderr


FORK = """
import os
from protoo_flask.client import Client
def request():
    return Client("ws://127.0.0.1:1/").request("get", "/", timeout=0.05).status
first = Client("ws://127.0.0.1:1/").send("get", "/", timeout=1000)  # its timer waits in a thread
assert request() == 408
reader, writer = os.pipe()
if not os.fork():
    os.write(writer, str(request()).encode())
    os._exit(0)
os.close(writer)
print(os.read(reader, 10).decode(), request())
"""


# The end


def test_a_closed_client_answers_410(make_client):
    with make_client() as client:
        held = client.send("get", "/hold", {"name": "closed"})
        next(iter(held))
    response = held.wait()
    assert (response.status, response.reason, response.is_local) == (410, "client closed", True)
    assert client.request("get", "/echo").status == 410
    with pytest.raises(Disconnected, match="client closed"):
        client.notify("get", "/echo")
    client.close()


def test_a_client_may_be_closed_before_it_connects(make_client):
    client = make_client()
    waiting = client.send("get", "/echo")
    client.close()
    assert waiting.wait().status == 410


def test_a_closed_client_may_connect_again(make_client):
    client = make_client()
    for _ in range(3):
        client.connect(DEADLINE)
        assert client.request("get", "/echo").status == 200
        client.close()


def test_a_listener_may_close_the_client(make_client):
    client = make_client()
    events = Events(client, "close")
    client.on("open", client.close)
    client.connect(DEADLINE)
    assert events.next("close").code == 1000


def test_closing_while_it_connects_ends_the_attempt():
    may_end = threading.Event()

    def script(line):
        line.read_head()
        seen.set()
        assert line.sock.recv(1) == b""

    seen = threading.Event()
    with ScriptedServer(script) as server:
        client = Client(server.url)
        join = in_thread(client.connect)
        assert seen.wait(DEADLINE)
        client.close()
        with pytest.raises(Disconnected, match="client closed"):
            join()
    may_end.set()


@pytest.mark.parametrize("code", [3000, 3001, 1000])
def test_a_close_that_is_final_is_not_followed_by_an_attempt(make_client, server, alice, code):
    client = make_client()
    events = Events(client, "close")
    client.connect(DEADLINE)
    held = client.send("get", "/hold", {"name": "final"})
    next(iter(held))
    url = f"http://127.0.0.1:{server.port}/close/{alice}/{code}"
    urllib.request.urlopen(url).close()
    assert events.next("close") == (code, "as you like", False, None, 0)
    assert client.state == "closed"
    assert held.wait().reason == f"connection lost ({code} as you like)"
    assert client.request("get", "/echo").reason == "client closed"


def test_a_second_connection_of_the_device_ends_the_first(make_client):
    first = make_client(uuid="phone")
    events = Events(first, "close")
    first.connect(DEADLINE)
    make_client(uuid="phone").connect(DEADLINE)
    assert events.next("close").code == 3000
