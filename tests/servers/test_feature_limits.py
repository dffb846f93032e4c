"""One user with sixteen devices does its worst in every feature; the kernel tells the memory."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket

import pytest

from protoo_flask.core.events import MAX_WAITING

from .clients import TEXT, RawClient, eventually
from .feature_site import PLACE
from .memory import MIB, measure_growth
from .processes import DEADLINE, start

#: Nearly 64 KiB of JSON that are some 1.5 MiB of objects.
NESTED = '{"a":[' + ",".join(["{}"] * 21_000) + "]}"

DEVICES = 16

COMMANDS = {
    "gunicorn": ["-m", "gunicorn", "-k", "gevent", "--bind", "127.0.0.1:0", PLACE + "()"],
    "pywsgi": ["-m", "protoo_flask", PLACE, "--port", "0"],
}


@pytest.fixture(params=["gunicorn", "pywsgi"])
def server(request):
    server = start(request.param, COMMANDS[request.param])
    get(server, "/told")  # the worker of gunicorn has begun
    yield server
    server.stop()
    assert server.complaints() == []


@pytest.fixture
def connect(server):
    """Return a function that connects a device, and stays connected."""
    with contextlib.ExitStack() as stack:
        yield lambda username, uuid: stack.enter_context(open_client(server, username, uuid))


def open_client(server, username, uuid):
    sock = socket.create_connection(("127.0.0.1", server.port), DEADLINE)
    target = f"/protoo?username={username}&uuid={uuid}"
    return RawClient(sock, target, Host=f"127.0.0.1:{server.port}")


def send(client, method, path, id, data="{}"):
    text = f'{{"method":"{method}","path":"{path}","id":{id},"data":{data}}}'
    client.send_frame(TEXT, text.encode())


def ask(client, method, path, id, data="{}"):
    """Send a request; returns the status of the next message, its first answer."""
    send(client, method, path, id, data)
    return client.read_message()["status"]


def wait(client):
    """Wait until all earlier messages of a client have been handled."""
    send(client, "get", "/echo", 100_000)
    while client.read_message()["id"] != 100_000:
        pass


def get(server, path):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE)
    with contextlib.closing(connection):
        connection.request("GET", path)
        return connection.getresponse().read().decode()


def test_calls_with_nested_offers_take_little_memory(server, connect):
    devices = [connect("mallory", f"m{n}") for n in range(DEVICES)]
    for n in range(DEVICES):
        connect(f"victim{n}", "v")
    statuses = []
    with measure_growth(server) as growth:
        for number, device in enumerate(devices):
            # Another request of that device would wait for the end of this one.
            statuses.append(ask(device, "session", f"/calls/victim{number}", 1, NESTED))
    assert set(statuses) == {100, 429}
    # It was 190 MiB, and 389 MiB with more victims.
    assert growth.peak < 15 * MIB


def test_early_messages_of_calls_take_little_memory(server, connect):
    devices = [connect("mallory", f"m{n}") for n in range(4)]
    for n in range(8):
        connect(f"victim{n}", "v")
    with measure_growth(server) as growth:
        for number, device in enumerate(devices):
            for n in range(16):
                send(device, "session", f"/calls/victim{(number + n) % 8}", n + 1)
                answer = device.read_message()
                if answer["status"] == 100:
                    text = '{"method":"x","path":"%s","data":%s}'
                    device.send_frame(
                        TEXT, (text % (answer["data"]["sessionPath"], NESTED)).encode()
                    )
            wait(device)
    # It was 93 MiB.
    assert growth.peak < 15 * MIB


def test_reports_with_nested_rejections_take_little_memory(server, connect):
    bobs = [connect("bob", f"b{n}") for n in range(DEVICES)]
    mallory = connect("mallory", "m")
    with measure_growth(server) as growth:
        for n in range(8):
            send(mallory, "message", "/reports/bob", n + 1)
            for bob in bobs[1:]:
                id = bob.read_message()["id"]
                bob.send_frame(TEXT, f'{{"status":486,"id":{id},"data":{NESTED}}}'.encode())
        for bob in bobs[1:]:
            wait(bob)
    # It was 175 MiB.
    assert growth.peak < 15 * MIB


@pytest.mark.parametrize("server", ["pywsgi"], indirect=True)
def test_subscriptions_to_long_names_take_little_memory(server, connect):
    devices = [connect("mallory", f"m{n}") for n in range(DEVICES)]
    statuses = set()
    with measure_growth(server) as growth:
        for number, device in enumerate(devices):
            for n in range(1000):
                name = f"{number}-{n}-%F0%9F%98%80".ljust(250, "x")
                send(device, "subscribe", "/presence/" + name, n + 1)
            for _ in range(1000):
                statuses.add(device.read_message()["status"])
    assert statuses == {200, 429}
    # It was 290 MiB, with names of 3700 characters.
    assert growth.peak < 25 * MIB


@pytest.mark.parametrize("server", ["pywsgi"], indirect=True)
def test_rooms_with_long_names_take_little_memory(server, connect):
    devices = [connect("mallory", f"m{n}") for n in range(DEVICES)]
    statuses = set()
    with measure_growth(server) as growth:
        for number, device in enumerate(devices):
            for n in range(110):
                name = f"{number}-{n}-%F0%9F%98%80".ljust(250, "x")
                statuses.add(ask(device, "session", "/chat/rooms/" + name, n + 1))
    assert statuses == {200, 429}
    assert growth.peak < 15 * MIB


def test_devices_that_come_and_go_leave_nothing_behind(server):
    with open_client(server, "bob", "b") as bob:
        for cycles in (20, 100):  # the first ones fill caches
            with measure_growth(server) as growth:
                for number in range(cycles):
                    with open_client(server, "mallory", f"m{number}") as client:
                        for n in range(20):
                            name = f"{number}-{n}".ljust(250, "x")
                            send(client, "subscribe", "/presence/" + name, 3 * n + 1)
                            send(client, "session", "/chat/rooms/" + name, 3 * n + 2)
                        send(client, "session", "/calls/bob", 99, '{"sdp":"' + 5000 * "x" + '"}')
                        wait(client)
                        client.send_frame(0x8, b"\x03\xe8")
                    while True:
                        message = bob.read_message()
                        answer = f'{{"status":200,"id":{message["id"]}}}'
                        if message["method"] == "end":
                            bob.send_frame(TEXT, answer.encode())
                            break
    # 100 devices have had 40 long names each, of some 600 bytes: 2.3 MiB, and as many offers.
    assert growth.left < 1 * MIB


def test_a_user_that_comes_and_goes_behind_a_slow_listener_is_refused_for_a_while(server):
    statuses = []
    with measure_growth(server) as growth:
        for n in range(MAX_WAITING):
            with open_client(server, "slow", f"d{n}") as client:
                statuses.append(client.status)
                if client.status == 101:
                    client.send_frame(0x8, b"\x03\xe8")
                else:
                    assert client.headers["Retry-After"] == "5"
            if statuses[-1] == 101:
                eventually(lambda: json.loads(get(server, "/online/slow")), [])
    refused = statuses.index(429)
    # Four events for each device that has come and gone, and the first is being told.
    assert MAX_WAITING // 4 <= refused <= MAX_WAITING // 4 + 2
    assert set(statuses[refused:]) == {429}
    assert growth.peak < 5 * MIB
    server.wait_for_output("come and gone too often")
    assert server.output().count("come and gone too often") == 1

    assert get(server, "/open-gate") == "open"
    story = [f"{what} d{n}" for n in range(refused) for what in ("online", "offline")]
    eventually(lambda: json.loads(get(server, "/told")), story)
    with open_client(server, "slow", "again") as client:
        assert client.status == 101
