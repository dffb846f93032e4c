"""Clients that send more than is handled: memory, handlers at once, and handlers that hang.

The memory is that of the server's process, as the kernel counts it.
"""

from __future__ import annotations

import contextlib
import json
import select
import threading

import pytest

from .clients import CLOSE, Site, eventually
from .memory import MIB, measure_growth
from .processes import KINDS, SITES, start

BUSY = "tests.servers.busy_site:create_app"


@pytest.fixture(scope="module", params=["gunicorn", "pywsgi", "flask-run"])
def server(request):
    command, stop_signal = KINDS[request.param]
    command = [part.replace(SITES, BUSY) for part in command]
    server = start(request.param, command, stop_signal=stop_signal, FLASK_APP=BUSY)
    yield server
    for prefix in ("", "/hasty", "/pool"):
        Site(server.port, prefix).post("/open")
    server.stop()
    assert server.complaints() == []


@pytest.fixture
def site(server):
    site = Site(server.port)
    site.post("/shut")
    yield site
    site.post("/open")
    eventually(lambda: site.get("/state")["running"], 0)


#: A thread for each connection and request takes more memory than all the rest.
measured = pytest.mark.parametrize("server", ["gunicorn", "pywsgi"], indirect=True)


def frames(*messages):
    """Write messages as masked frames, with a mask of zeros."""
    written = []
    for message in messages:
        payload = message if isinstance(message, bytes) else json.dumps(message).encode()
        size = len(payload)
        head = bytes([0x81, 0x80 | size]) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
        written.append(head + bytes(4) + payload)
    return b"".join(written)


def request(id, path, method="get", data=None):
    return {"method": method, "path": path, "id": id, "data": data or {}}


def send_until_paused(client, data, repeat):
    """Send ``data(n)`` for each n, until the server reads no more; throw the answers away."""
    sock = client._sock
    sock.setblocking(False)
    for number in range(repeat):
        rest = data(number)
        while rest:
            readable, writable, _ = select.select([sock], [sock], [], 1)
            if not readable and not writable:
                return
            if readable:
                sock.recv(2**20)
            if writable:
                with contextlib.suppress(BlockingIOError):
                    rest = rest[sock.send(rest) :]


def nested_lists(size):
    return '{"a":[' + ",".join(["[]"] * (size // 3)) + "]}"


def nested_dicts(size):
    return '{"a":[' + ",".join(['{"a":{}}'] * (size // 9)) + "]}"


def flat(size):
    return '{"a":"%s"}' % (size * "x")


class Bot:
    """A client that sends many messages at once, and answers those that come."""

    def __init__(self, client):
        self.client = client
        self.statuses = []

    def take_all(self, count):
        """Take and give answers until it has got so many, and given as many."""
        given = 0
        while len(self.statuses) < count or given < count:
            message = self.client.read_message()
            if "status" in message:
                self.statuses.append(message["status"])
            else:
                self.client._sock.sendall(frames({"status": 200, "id": message["id"]}))
                given += 1


# Requests without an answer


@measured
@pytest.mark.parametrize(
    ("data", "size"), [(flat, 1), (nested_lists, 30), (nested_lists, 3000), (nested_dicts, 30_000)]
)
def test_requests_that_no_handler_answers_take_a_bounded_amount_of_memory(
    site, server, alice, data, size
):
    def batch(number):
        numbers = range(number * 20 + 1, number * 20 + 21)
        text = '{"method":"get","path":"/forget","id":%d,"data":%s}'
        return frames(*((text % (n, data(size))).encode() for n in numbers))

    with site.connect_raw(alice, "a1") as client, measure_growth(server) as growth:
        send_until_paused(client, batch, repeat=4 * 10**7 // (20 * (size + 80)))
    assert growth.peak < 30 * MIB


@measured
def test_requests_that_a_client_leaves_behind_take_a_bounded_amount_of_memory(site, server, alice):
    with measure_growth(server) as growth:
        for _ in range(20):
            with site.connect_raw(alice, "a1") as client:
                client._sock.sendall(frames(*(request(n, "/forget") for n in range(1, 2001))))
                client.send_request("get", "/echo", 5000)
                assert client.read_message()["id"] == 5000
                client.send_frame(CLOSE, (1000).to_bytes(2, "big"))
                assert client.read_close()[0] == 1000
    assert growth.peak < 20 * MIB


def test_two_clients_that_send_each_other_many_messages_get_all_answers(site, server, alice, bob):
    # More than may be without an answer; threads take too long for that.
    count = 1000 if server.kind == "flask-run" else 5000
    with site.connect_raw(alice) as a, site.connect_raw(bob) as b:
        for client, other in ((a, bob), (b, alice)):
            path = f"/users/{other}"
            messages = (request(n, path, "message") for n in range(1, count + 1))
            client._sock.sendall(frames(*messages))
        bots = [Bot(a), Bot(b)]
        threads = [threading.Thread(target=bot.take_all, args=(count,)) for bot in bots]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [set(bot.statuses) for bot in bots] == [{200}, {200}]


# The backlog


@measured
@pytest.mark.parametrize(("data", "size"), [(flat, 1), (nested_lists, 300), (nested_lists, 60_000)])
def test_a_backlog_takes_hardly_more_memory_than_its_limit(site, server, alice, data, size):
    def batch(number):
        text = '{"method":"get","path":"/echo","id":%d,"data":%s}'
        return frames((text % (number + 1, data(size))).encode())

    with site.connect_raw(alice, "a1") as client, measure_growth(server) as growth:
        client.send_request("get", "/gate", 10**9)
        eventually(lambda: site.get("/state")["running"], 1)
        send_until_paused(client, batch, repeat=4 * 10**7 // (size + 80))
    assert growth.peak < 5 * MIB


# Clients that come, send and leave


@pytest.mark.parametrize("code", [1000, 1001, 0])
def test_one_device_has_one_handler_running_however_often_it_comes_and_leaves(
    site, server, alice, bob, code
):
    batch = frames(*(request(n, "/gate", "put") for n in range(1, 101)))
    with measure_growth(server) as growth:
        for _ in range(100):
            with site.connect_raw(alice, "a1") as client:
                client._sock.sendall(batch)
                if code:
                    client.send_frame(CLOSE, code.to_bytes(2, "big"))
        with site.connect(bob) as client:
            assert client.request("get", "/echo")["status"] == 200
    assert site.get(f"/state?username={alice}")["most"] == 1
    if server.kind != "flask-run":
        assert growth.peak < 12 * MIB


def test_a_user_has_as_many_handlers_running_as_devices_however_often_new_ones_come(
    server, alice, bob
):
    site = Site(server.port, "/pool")
    site.post("/shut")
    cookie = site.login(alice)
    refusal = None
    for number in range(30):
        answer = site.knock(f"?uuid=new-{number}", Cookie=cookie)
        if answer.status == 429:
            refusal = answer
            continue
        with site.connect_raw(alice, f"new-{number}") as client:
            client._sock.sendall(frames(request(1, "/gate", "put")))
            client.send_frame(CLOSE, (1000).to_bytes(2, "big"))
            with contextlib.suppress(ConnectionError):
                client.read_close()
    assert site.get(f"/state?username={alice}")["most"] == 4
    assert refusal is not None
    assert int(refusal.headers["Retry-After"]) > 0
    assert "left while their requests were being handled" in refusal.text
    with site.connect(bob) as client:
        assert client.request("get", "/echo")["status"] == 200
    site.post("/open")
    eventually(lambda: site.get("/state")["running"], 0)
    eventually(lambda: site.knock("?uuid=later", Cookie=cookie).status, 101)


# Handlers that do not return


@pytest.mark.parametrize("method", ["get", "put"])
def test_requests_behind_a_handler_that_does_not_return_are_handled(server, alice, method):
    site = Site(server.port, "/hasty")
    site.post("/shut")
    with site.connect(alice) as client:
        if method == "get":
            client.start("get", "/gate")
        else:
            client.notify("get", "/gate")
        second = client.start("get", "/echo")
        answers = {}
        while second not in answers:
            answer = client.receive()
            answers[answer["id"]] = answer["status"]
        assert answers.pop(second) == 200
        assert list(answers.values()) in ([504], [])
    site.post("/open")
    server.wait_for_output("does not return", server.first_line)
