"""Servers that may have few file descriptors, and clients that keep many."""

from __future__ import annotations

import contextlib
import socket
from typing import Any, Iterator

import pytest

from . import sites
from .clients import RawClient, Site, eventually
from .memory import count_descriptors
from .processes import DEADLINE, KINDS, Server, start

#: The limit of the servers in this module, a few times as much as an idle one has.
LIMIT = 96

_LIMITED = (
    f"import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_NOFILE, ({LIMIT}, {LIMIT})); "
)


@pytest.fixture(params=KINDS)
def server(request: Any, tmp_path: Any) -> Iterator[Server]:
    (option, name, *arguments), stop_signal = KINDS[request.param]
    if option == "-m":
        name = f"runpy.run_module({name!r}, run_name='__main__', alter_sys=True)"
    server = start(
        request.param,
        ["-c", _LIMITED + name, *arguments],
        stop_signal=stop_signal,
        **{sites.DATABASE: str(tmp_path / "database")},
    )
    yield server
    server.stop()
    assert server.complaints() == []


def test_a_client_that_takes_its_device_over_again_and_again_keeps_few_descriptors(
    server, site, alice, bob
):
    before = count_descriptors(server)
    with contextlib.ExitStack() as stack:
        for _ in range(90):
            stack.enter_context(site.connect_raw(alice))
        assert count_descriptors(server) < before + 20
        stack.enter_context(site.connect(bob)).nothing_came()


def test_a_client_that_leaves_with_a_new_uuid_each_time_keeps_few_descriptors(
    server, site, alice, bob
):
    before = count_descriptors(server)
    with contextlib.ExitStack() as stack:
        for n in range(90):
            client = stack.enter_context(site.connect_raw(alice, f"a{n}"))
            client.send_frame(8, b"\x03\xe8")
            assert client.read_frame()[0] == 8
        assert count_descriptors(server) < before + 40
        stack.enter_context(site.connect(bob)).nothing_came()


def test_a_server_that_is_full_says_so_and_recovers(server, site, alice, bob):
    cookie = site.login(bob)
    # First, as a login has a descriptor for a moment, too.
    cookies = [site.login(f"{alice}-{number}") for number in range(LIMIT)]
    with contextlib.ExitStack() as stack:
        clients, refusals = [], 0
        while refusals < 3:
            client = stack.enter_context(connect(site, cookies[len(clients)]))
            if client.status == 101:
                clients.append(client)
            refusals = 0 if client.status == 101 else refusals + 1
        assert client.status == 503
        # There are some left for the site, and for the answers to others.
        for _ in range(3):
            answer = site.knock("?uuid=b1", Cookie=cookie)
            assert (answer.status, answer.text) == (503, "too many connections")
            assert answer.headers["Retry-After"] == "10"
            assert site.http("GET", "/protoo", {"Cookie": cookie}).status == 503
            assert site.get("/hello") == "hello from main"
        clients[0].send_request("get", "/echo", 1)
        assert clients[0].read_message()["id"] == 1
        warning = "handshakes are refused: this process has too few"
        server.wait_for_output(warning)
        assert server.output().count(warning) == 1
    eventually(lambda: site.knock("?uuid=b1", Cookie=cookie).status, 101)


def connect(site: Site, cookie: str) -> RawClient:
    sock = socket.create_connection(("127.0.0.1", site.port), DEADLINE)
    return RawClient(sock, "/protoo?uuid=a1", Host=site.host, Cookie=cookie)
