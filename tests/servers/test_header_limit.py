"""Handshakes with many headers, which a connection would keep until its end."""

from __future__ import annotations

import contextlib
import sys

import pytest

from protoo_flask.transport.websocket.handshake import MAX_HEADERS

from .clients import Site, eventually, handshake_headers
from .memory import MIB, measure_growth
from .processes import Server

#: The default of PROTOO_MAX_PEERS_PER_USER.
DEVICES = 16


def padding(size: int) -> dict[str, str]:
    """Return headers of some 8000 characters each, which servers let through."""
    return {f"X-Padding-{number}": "x" * 7980 for number in range(size // 8000)}


def test_more_headers_than_a_connection_keeps_are_refused(site: Site, alice: str) -> None:
    cookie = site.login(alice)
    answer = site.knock("?uuid=a1", Cookie=cookie, **padding(MAX_HEADERS + 8000))
    assert answer.status == 431
    assert f"at most {MAX_HEADERS} bytes" in answer.text
    # A script in a browser reads the reason by a plain request with the same headers.
    plain = site.http("GET", "/protoo?uuid=a1", {"Cookie": cookie, **padding(MAX_HEADERS + 8000)})
    assert (plain.status, plain.text) == (431, answer.text)
    with site.connect(alice, **padding(MAX_HEADERS - 8000)) as client:
        client.nothing_came()


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel of Linux for memory")
def test_the_headers_of_all_devices_of_a_user_are_bounded(
    server: Server, site: Site, alice: str
) -> None:
    if server.kind == "flask-run":
        pytest.skip("the development server has a thread for each connection")
    cookie = site.login(alice)
    # As many as gunicorn lets through.
    headers = {**handshake_headers({}), "Host": site.host, "Cookie": cookie, **padding(85 * 8000)}
    site.http("GET", "/protoo", headers)  # the server itself needs memory to read them
    with contextlib.ExitStack() as clients, measure_growth(server) as growth:
        for number in range(DEVICES):
            connection = site.open_http()
            connection.request("GET", f"/protoo?uuid=a{number}", headers=headers)
            if connection.getresponse().status == 101:
                clients.callback(connection.close)
            else:
                connection.close()
        eventually(lambda: len(site.get(f"/peers?username={alice}")), 0)
    assert growth.left < 6 * MIB  # before: 13 MiB and more
