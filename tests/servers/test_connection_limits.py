"""The connections of one address at a time, and the handshakes of a process, over real sockets."""

from __future__ import annotations

import contextlib
import itertools
import socket
import time
from urllib.parse import quote

import pytest

from tests.cluster.redis_servers import RedisServer

from .clients import Client, RawClient, Site, eventually, handshake_headers
from .limited_site import ALL_ATTACHED, CLUSTER_URL, SEATS
from .processes import ATTACHED, DEADLINE, KINDS, SITES, start

PLACE = "tests.servers.limited_site:create_app"

FULL = (429, "too many connections from your address")

_numbers = itertools.count(1)


@pytest.fixture(scope="module", params=[*KINDS, ATTACHED])
def limited_server(request):
    kind = request.param
    command, stop_signal = KINDS["gunicorn" if kind == ATTACHED else kind]
    command = [part.replace(SITES, PLACE) for part in command]
    environ = {"FLASK_APP": PLACE, "PYTHONWARNINGS": "ignore::DeprecationWarning"}
    if kind == ATTACHED:
        environ[ALL_ATTACHED] = "yes"
    server = start(kind, command, stop_signal=stop_signal, **environ)
    yield server
    server.stop()


class Address:
    """The clients of one address, as the proxy tells it."""

    def __init__(self, server, prefix=""):
        self.site = Site(server.port, prefix)
        self.name = f"192.0.2.{next(_numbers)}"
        self.stack = contextlib.ExitStack()

    def query(self, username, uuid="1", what="", **more):
        pairs = {"username": username, "uuid": uuid, "what": what, **more}
        return "?" + "&".join(f"{name}={quote(value)}" for name, value in pairs.items())

    def connect(self, username, uuid="1", path="/protoo", address=None, **options):
        """Connect; returns when the server has answered a request."""
        client = self.stack.enter_context(
            Client(
                f"ws://{self.site.host}{path}{self.query(username, uuid, **options)}",
                additional_headers={"X-Forwarded-For": address or self.name},
                compression=None,
            )
        )
        client.nothing_came()
        return client

    def knock(self, username, uuid="1", path="/protoo", address=None, headers=None, **options):
        all_headers = handshake_headers(
            {"X-Forwarded-For": address or self.name, **(headers or {})}
        )
        return self.site.http("GET", path + self.query(username, uuid, **options), all_headers)

    def ask(self, username, uuid="1"):
        """Ask by a plain request whether a handshake would be welcome."""
        return self.site.http(
            "GET", "/protoo" + self.query(username, uuid), {"X-Forwarded-For": self.name}
        )

    def count(self, name=None):
        return self.site.get("/seats").get(name or self.name, 0)

    def has(self, number):
        eventually(self.count, number)

    def fill(self):
        return [self.connect(f"{self.name}-user{n}") for n in range(SEATS)]


@pytest.fixture
def here(limited_server):
    address = Address(limited_server)
    with address.stack:
        yield address


def told(answer):
    return answer.status, answer.text


def test_one_connection_too_many_is_refused_for_now(here):
    clients = here.fill()
    answer = here.knock("late")
    assert told(answer) == FULL
    assert int(answer.headers["Retry-After"]) == 50
    assert answer.headers["Protoo-Handshake"] == "later"
    plain = here.ask("late")
    assert (told(plain), plain.headers["Retry-After"]) == (FULL, "50")
    for client in clients:
        client.nothing_came()
    here.has(SEATS)
    clients[0].close()
    here.has(SEATS - 1)
    assert here.ask("late").status == 426
    here.connect("late")
    assert told(here.knock("later")) == FULL


def test_the_log_tells_of_it_once_and_the_proxy_that_is_known_is_no_news(here, limited_server):
    here.fill()
    for name in ("one", "two", "three"):
        assert told(here.knock(name)) == FULL
    line = f"handshakes from {here.name} are refused for now: it has {SEATS} connections"
    limited_server.wait_for_output(line)
    assert limited_server.output().count(line) == 1
    found = limited_server.wait_for_output(line)
    assert "PROTOO_MAX_CONNECTIONS_PER_ADDRESS)" in found
    assert "ProxyFix" not in found


def test_a_proxy_that_the_site_does_not_know_of_is_suspected(limited_server):
    here = Address(limited_server, "/unknown")
    with here.stack:
        here.connect("first", path="/unknown/protoo")
        assert told(here.knock("second", address="198.51.100.1")) == FULL
        found = limited_server.wait_for_output("handshakes from 127.0.0.1 are refused")
        assert "a header X-Forwarded-For, which this site does not use" in found
        assert "ProxyFix(app.wsgi_app, x_for=1)" in found


def test_other_addresses_are_served_and_a_network_of_ipv6_is_one(here):
    here.fill()
    network = f"2001:db8:0:{next(_numbers):x}"
    for n in range(SEATS):
        here.connect(f"six{n}", address=f"{network}::{n + 1}")
    assert told(here.knock("late", address=f"{network}:ffff::9")) == FULL
    assert here.count(f"{network}::/64") == SEATS
    mapped = f"::ffff:{here.name}"
    assert told(here.knock("mapped", address=mapped)) == FULL


def test_a_forged_address_before_that_of_the_proxy_changes_nothing(here):
    here.fill()
    assert told(here.knock("late", address=f"203.0.113.5, {here.name}")) == FULL


def test_a_device_that_comes_back_takes_the_place_of_its_own_connection(here):
    clients = here.fill()
    again = here.connect(f"{here.name}-user0")
    assert clients[0].wait_for_close() == (3000, "online elsewhere")
    here.has(SEATS)
    assert told(here.knock("late")) == FULL
    # The old one is closing; then it is gone.
    clients[0].close()
    again.nothing_came()
    here.has(SEATS)
    again.close()
    here.has(SEATS - 1)


def test_a_device_takes_itself_over_again_and_again(here):
    here.fill()
    for _ in range(10):
        here.connect(f"{here.name}-user0")
    here.has(SEATS)
    here.stack.close()
    here.has(0)


def test_a_device_that_comes_back_from_elsewhere_finds_no_place(here):
    here.fill()
    elsewhere = f"192.0.2.{next(_numbers)}"
    client = here.connect("roaming", address=elsewhere)
    assert told(here.knock("roaming")) == FULL
    client.nothing_came()


@pytest.mark.parametrize("what", ["refuse", "abort", "fail", "redirect", "throw", "fail-late"])
def test_a_handshake_that_fails_has_no_place(here, what):
    for _ in range(2 * SEATS + 1):
        answer = here.knock("alice", what=what)
        assert (
            answer.status
            in {
                "refuse": (403,),
                "abort": (418,),
                "fail": (500,),
                "redirect": (302,),
                "throw": (409,),
                "fail-late": (500,),
            }[what]
        )
    here.has(0)
    here.fill()


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-WebSocket-Protocol": None},
        {"Sec-WebSocket-Protocol": "protoo2"},
        {"Sec-WebSocket-Version": "8"},
        {"Sec-WebSocket-Key": "short"},
        {"Origin": "https://evil.example"},
        {"Connection": "close"},
    ],
    ids=str,
)
def test_a_handshake_with_a_fault_has_no_place(here, headers):
    for _ in range(2 * SEATS + 1):
        assert here.knock("alice", headers=headers).status in (400, 403, 426)
    here.has(0)


def test_plain_requests_have_no_place(here):
    for _ in range(2 * SEATS + 1):
        assert here.ask("alice").status == 426
    assert here.count() == 0


def start_handshake(here, username, **options):
    """Send a handshake that the authorizer holds; returns the socket and the gate."""
    gate = f"gate{next(_numbers)}"
    sock = here.stack.enter_context(
        socket.create_connection(("127.0.0.1", here.site.port), DEADLINE)
    )
    headers = handshake_headers({"X-Forwarded-For": here.name, "Host": here.site.host})
    target = "/protoo" + here.query(username, what="wait", gate=gate, **options)
    lines = [f"GET {target} HTTP/1.1", *(f"{key}: {headers[key]}" for key in headers)]
    sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
    eventually(lambda: here.site.get(f"/waiting/{gate}"), "True")
    return sock, gate


def test_handshakes_in_progress_have_places(here):
    held = [start_handshake(here, f"user{n}") for n in range(SEATS)]
    assert here.count() == SEATS
    assert told(here.knock("late")) == FULL
    clients = []
    for sock, gate in held:
        here.site.post(f"/open/{gate}")
        clients.append(RawClient.of_answer(sock))
    assert [client.status for client in clients] == [101] * SEATS
    here.has(SEATS)
    for client in clients:
        client.break_off()
    here.has(0)


def test_clients_that_are_gone_before_their_answer_have_no_place(here):
    held = [start_handshake(here, f"user{n}") for n in range(SEATS)]
    for number, (sock, gate) in enumerate(held):
        if number % 2:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()
        here.site.post(f"/open/{gate}")
    here.has(0)
    here.fill()


def test_only_so_many_handshakes_beyond_the_limit_are_asked_who_they_are(here):
    here.fill()
    held = [start_handshake(here, f"user{n}") for n in range(SEATS)]
    before = here.site.get("/sessions")
    assert told(here.knock("late", what="fail")) == FULL  # the authorizer is not called
    assert int(here.site.get("/sessions")) == int(before) + 1
    for sock, gate in held:
        here.site.post(f"/open/{gate}")
        with RawClient.of_answer(sock) as client:
            assert client.status == 429
    here.has(SEATS)


def test_connections_that_break_give_their_places_back(here):
    for n in range(SEATS):
        sock = socket.create_connection(("127.0.0.1", here.site.port), DEADLINE)
        target = "/protoo" + here.query(f"user{n}")
        client = RawClient(sock, target, Host=here.site.host, **{"X-Forwarded-For": here.name})
        assert client.status == 101
        client.break_off()
    here.has(0)


@pytest.mark.parametrize(
    ("what", "status"),
    [("view-aborts", 410), ("view-fails", 500), ("view-forgets", 500), ("refuse", 403)],
)
def test_a_route_of_the_site_that_refuses_gives_the_place_back(here, what, status):
    for _ in range(2 * SEATS + 1):
        assert here.knock("alice", path="/signal", what=what).status == status
    here.has(0)


def test_connections_to_a_route_of_the_site_have_places(here):
    clients = [here.connect(f"user{n}", path="/signal") for n in range(SEATS)]
    assert told(here.knock("late", path="/signal")) == FULL
    assert told(here.knock("late")) == FULL
    here.connect("user0", path="/signal")
    assert clients[0].wait_for_close() == (3000, "online elsewhere")
    here.has(SEATS)
    here.stack.close()
    here.has(0)


def test_a_view_may_say_that_it_is_another_device(here):
    clients = [here.connect(f"user{n}") for n in range(SEATS)]
    # The authorizer names user0, whose place the handshake takes; the view then names another one.
    here.connect("user0", path="/signal", what="view-says", says="user1")
    assert clients[1].wait_for_close() == (3000, "online elsewhere")
    clients[0].nothing_came()
    here.has(SEATS)
    answer = here.knock("user0", path="/signal", what="view-says", says="nobody")
    assert told(answer) == FULL
    clients[0].nothing_came()
    here.has(SEATS)


def test_a_forked_child_has_no_connections_and_takes_none_away(here):
    clients = here.fill()
    assert clients[0].request("get", "/fork")["data"] == {"seats": 0}
    assert here.count() == SEATS
    clients[0].close()
    here.has(SEATS - 1)


def test_clients_of_a_unix_socket_are_not_limited(tmp_path):
    path = tmp_path / "socket"
    command = ["-m", "gunicorn", "-k", "gevent", "--bind", f"unix:{path}", PLACE + "()"]
    server = start("gunicorn", command, PYTHONWARNINGS="ignore::DeprecationWarning")
    try:
        with contextlib.ExitStack() as stack:
            for n in range(SEATS + 2):
                sock = stack.enter_context(socket.socket(socket.AF_UNIX))
                sock.settimeout(DEADLINE)
                sock.connect(str(path))
                target = f"/unknown/protoo?username=user{n}&uuid=1"
                assert RawClient(sock, target, Host="localhost").status == 101
    finally:
        server.stop()
    assert server.complaints() == []


def test_a_device_that_moves_to_another_process_gives_its_place_back(tmp_path):
    redis = RedisServer(tmp_path)
    command = [part.replace(SITES, PLACE) for part in KINDS["gunicorn"][0]]
    servers = []
    try:
        environ = {CLUSTER_URL: redis.url, "PYTHONWARNINGS": "ignore::DeprecationWarning"}
        for _ in range(2):
            servers.append(start("gunicorn", command, **environ))
        first, second = (Address(server) for server in servers)
        second.name = first.name
        with first.stack, second.stack:
            clients = first.fill()
            assert told(first.knock("late")) == FULL
            # Each process counts its own connections.
            second.connect(f"{first.name}-user0")
            assert clients[0].wait_for_close() == (3000, "online elsewhere")
            first.has(SEATS - 1)
            second.has(1)
            # It comes back, and so does another one, although the directory has to be asked.
            first.connect(f"{first.name}-user0")
            second.has(0)
            first.has(SEATS)
        first.has(0)
    finally:
        for server in servers:
            server.stop()
        redis.stop()
    for server in servers:
        assert server.complaints() == []


# Handshakes of a process ---------------------------------------------------------------------


def test_a_process_takes_so_many_handshakes_and_tells_the_others_when_to_come(limited_server):
    here = Address(limited_server, "/hurried")
    site = here.site
    # Another test may have taken the only one. Each refusal makes the next client wait longer, so
    # there must not be many.
    for _ in range(100):
        if here.knock("first").status != 503:
            break
        time.sleep(0.1)
    else:
        pytest.fail("a handshake is refused for ever")
    opened = site.get("/sessions")
    refused = [here.knock(f"user{n}") for n in range(3)]
    assert [told(answer) for answer in refused] == [(503, "too many handshakes")] * 3
    waits = [int(answer.headers["Retry-After"]) for answer in refused]
    assert 1 <= waits[0] <= 2
    assert waits == [waits[0], waits[0] + 2, waits[0] + 4]
    assert {answer.headers["Protoo-Handshake"] for answer in refused} == {"later"}
    assert site.get("/sessions") == opened
    # A browser asks by a plain request, as it has not seen the answer to its handshake.
    headers = {"Origin": f"http://{site.host}"}
    assert here.knock("browser", headers=headers).status == 503
    plain = here.ask("browser")
    assert told(plain) == (503, "too many handshakes")
    assert int(plain.headers["Retry-After"]) == waits[0] + 6
    line = "handshakes are refused for now: there are more than 0.5 per second in this process"
    limited_server.wait_for_output(line)
    eventually(lambda: here.ask("browser").status, 426)
    assert here.knock("browser", headers=headers).status == 101
    assert limited_server.output().count(line) == 1
