"""Clients that go while the server does not read, as too many of their requests wait."""

from __future__ import annotations

import contextlib
import json
import socket
from typing import Any

import pytest

from .clients import PING, TEXT, RawClient, eventually
from .processes import WHERE_BLOCKING_IS_FINE


@contextlib.contextmanager
def full_client(site: Any, username: str) -> Any:
    """Connect a client, and send requests until nobody reads them."""
    with site.connect(username, "opener") as opener:
        client = site.connect_raw(username, "a1")
        client.send_request("get", f"/gate/{username}/wait", 1)
        fill(client)
        assert client.read_message()["status"] == 100
        yield client
        opener.request("get", f"/gate/{username}/open")


def fill(client: RawClient) -> None:
    message = {"method": "get", "path": "/echo", "data": {"text": "x" * 850}}
    sock = client._sock
    sock.settimeout(0.5)  # the test does not wait on a machine that is slow: it stops early
    with contextlib.suppress(socket.timeout):
        while True:
            client.send_frame(TEXT, json.dumps(message).encode())


@WHERE_BLOCKING_IS_FINE
@pytest.mark.parametrize("how", ["reset", "close"])
def test_a_client_that_goes_while_nobody_reads_is_noticed(site_at, alice, how):
    brisk = site_at("/brisk")
    with full_client(brisk, alice) as client:
        assert f"{alice}/a1" in brisk.get(f"/peers?username={alice}")
        if how == "reset":
            client.break_off()
        else:
            client._file.close()
            client._sock.close()
        eventually(lambda: f"{alice}/a1" in brisk.get(f"/peers?username={alice}"), False)
        journal = brisk.get(f"/journal/{alice}")
        # Not only when the handler had ended, and reading went on.
        assert journal[journal.index("at the gate") + 1] == f"protoo-peer-offline a1 {alice}"


@WHERE_BLOCKING_IS_FINE
def test_a_client_that_waits_for_room_stays(site_at, alice):
    brisk = site_at("/brisk")
    with full_client(brisk, alice) as client:
        client._sock.settimeout(20)
        pings = [client.read_frame() for _ in range(5)]
        assert {opcode for opcode, _ in pings} == {PING}
        assert f"{alice}/a1" in brisk.get(f"/peers?username={alice}")
        client.break_off()
