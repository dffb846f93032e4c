"""Routes on a host, on a subdomain or below a prefix, with variable parts."""

from __future__ import annotations

import itertools
import socket

import pytest

from .clients import RawClient, eventually
from .processes import DEADLINE

PLACES = pytest.mark.parametrize(
    ("prefix", "path", "host"),
    [
        ("/tenants", "/protoo", "acme.tenants.example:8000"),
        ("/branches", "/protoo", "acme.branches.shop.example:8000"),
        ("/rented", "/acme/chat", "shop.example:8000"),
    ],
    ids=["host", "subdomain", "path"],
)


def connect(site, host, target):
    sock = socket.create_connection(("127.0.0.1", site.port), DEADLINE)
    return RawClient(sock, target, Host=host, Origin=f"http://{host}")


@PLACES
def test_the_authorizer_finds_the_variable_parts_of_a_place_each_time(
    site_at, bob, prefix, path, host
):
    target = f"{prefix}{path}?user={bob}&uuid=b1"
    ids = itertools.count(1)
    with connect(site_at(prefix), host, target) as client:

        def get(path):
            client.send_request("get", path, next(ids))
            return client.read_message()["data"]

        assert client.status == 101
        assert get("/where") == {"username": f"{bob} of acme", "url": f"http://{host}{target}"}
        # With another username, the peer would be disconnected.
        eventually(lambda: get("/questions")["count"] > 3, True)
        assert get("/where")["username"] == f"{bob} of acme"


@PLACES
def test_a_plain_get_and_the_browser_client_are_at_the_same_place(site_at, prefix, path, host):
    site = site_at(prefix)

    assert site.http("GET", f"{path}?user=bob", {"Host": host}).status == 426
    for name in ("protoo.js", "protoo.mjs", "protoo-call.mjs"):
        answer = site.http("GET", f"{path}/{name}", {"Host": host})
        assert answer.status == 200
        assert "javascript" in answer.headers.get_content_type()


@pytest.mark.parametrize(
    ("prefix", "host"),
    [
        ("/tenants", "tenants.example:8000"),
        ("/tenants", "acme.tenants.example"),
        ("/branches", "shop.example:8000"),
        ("/branches", "acme.shop.example:8000"),
    ],
)
def test_nothing_is_at_other_places(site_at, prefix, host):
    site = site_at(prefix)

    for path in ("/protoo?user=bob", "/protoo/protoo.js"):
        assert site.http("GET", path, {"Host": host}).status == 404
    assert site.knock("?user=bob", Host=host).status == 404


def test_a_proxy_may_serve_the_site_below_a_prefix(site_at, alice):
    """Also one that the server does not see in the path."""
    proxied = site_at("/proxied")
    behind = {"X_Forwarded_Prefix": "/chat", "X_Forwarded_Proto": "https", "X_Agent": "test"}

    with proxied.connect(alice, Origin=f"https://{proxied.host}", **behind) as client:
        data = client.request("get", "/where")["data"]

    assert (data["url"], data["path"]) == ("/chat/hello", "/protoo")
    assert data["external_url"] == f"https://{proxied.host}/chat/hello"
