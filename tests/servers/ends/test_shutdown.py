"""A server that is asked to end tells its clients."""

from __future__ import annotations

import pytest

from .. import sites
from ..clients import CLOSE, Site
from ..processes import DEADLINE, KINDS, start_server


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_tells_its_clients_and_ends(kind, tmp_path):
    server = start_server(kind, **{sites.DATABASE: str(tmp_path / "database")})
    try:
        site = Site(server.port)
        with site.connect("alice") as a, site.connect("alice", "a2") as a2:
            with site.connect_raw("bob") as raw:
                # A client with a request in progress must be told as well.
                a2.start("get", "/ask/bob")
                assert raw.read_message()["method"] == "question"
                server.interrupt()
                for client in (a, a2):
                    assert client.wait_for_close() == (1001, "shutting down")
                assert raw.read_frame() == (CLOSE, (1001).to_bytes(2, "big") + b"shutting down")
        # At the deadline of the drain, as nobody answers that request.
        server.process.wait(DEADLINE)
    finally:
        server.stop()
    assert server.complaints() == []
