"""ICE servers: the form of the entries, and the credentials for TURN."""

from __future__ import annotations

import pytest

from protoo_flask.core.errors import UsageError
from protoo_flask.features.ice.servers import check_ice_servers, make_credentials, needs_credentials

# Computed with: printf %s USERNAME | openssl dgst -sha1 -hmac SECRET -binary | base64


@pytest.mark.parametrize(
    ("secret", "username", "made"),
    [
        ("north", "alice", ("1433895918:alice", "RqMvcGPYTJMGThVLSi4amT4zFtI=")),
        ("north", "a:b ü", ("1433895918:a%3Ab%20%C3%BC", "Mh3ISKiBuPjiBeFFTsI7pDcQBXk=")),
        (
            "größe",
            "bob@example.org",
            ("1433895918:bob@example.org", "kCfZFm+SvXhpoEl7cKBkl1pYDMw="),
        ),
        (
            "north",
            "x" * 498,
            (
                "1433895918:ba21f3b2395e63e260286cc4b657c97d4bc9737443c0e7230a42e78a94f43bf7",
                "uIIskUsMk9HNAxDhDShqxVdRrXM=",
            ),
        ),
    ],
    ids=["plain", "colon", "address", "too long"],
)
def test_credentials_equal_those_that_a_turn_server_computes(secret, username, made):
    assert make_credentials(secret, username, 1433895918) == made


def test_a_username_is_as_long_as_stun_allows_and_no_longer():
    longest = make_credentials("north", "x" * 497, 1433895918).username
    assert longest == "1433895918:" + "x" * 497
    assert len(longest) == 508
    escaped = make_credentials("north", "ü" * 83, 1433895918).username
    assert len(escaped) == 11 + 64
    other = make_credentials("north", "ü" * 84, 1433895918).username
    assert other != escaped


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ({"urls": "stun:s.example"}, False),
        ({"urls": "stuns:s.example"}, False),
        ({"urls": "turn:s.example"}, True),
        ({"urls": ["stun:s.example", "turns:s.example"]}, True),
        ({"urls": "turn:s.example", "username": "u", "credential": "c"}, False),
    ],
)
def test_turn_servers_without_a_credential_need_one(server, expected):
    assert needs_credentials(server) is expected


@pytest.mark.parametrize(
    "servers",
    [
        [],
        (),
        [{"urls": "stun:s.example"}],
        [{"urls": ["stun:s.example:3478", "stuns:s.example"]}],
        [{"urls": ("turn:s.example?transport=tcp",), "username": "u", "credential": "c"}],
    ],
)
def test_good_servers_need_no_secret(servers):
    check_ice_servers(servers)


def test_turn_without_a_credential_needs_the_secret():
    servers = [{"urls": "stun:s.example"}, {"urls": ["turn:s.example"]}]
    check_ice_servers(servers, "north")
    with pytest.raises(UsageError, match=r"^PROTOO_ICE_SERVERS\[1\] .*PROTOO_TURN_SECRET"):
        check_ice_servers(servers)


@pytest.mark.parametrize(
    ("server", "problem"),
    [
        ("stun:s.example", "must be a dictionary, not a str"),
        ({}, 'has no "urls"'),
        ({"url": "stun:s.example"}, "has a key 'url', where .* did you mean \"urls\"?"),
        ({"urls": "stun:s.example", "realm": "x"}, "has a key 'realm', where"),
        ({"urls": ""}, "a URL or a list of URLs, not ''"),
        ({"urls": []}, r"a URL or a list of URLs, not \[\]"),
        ({"urls": 5}, "a URL or a list of URLs, not 5"),
        ({"urls": [5]}, "a URL that must be like .* not 5"),
        ({"urls": "s.example"}, "a URL that must be like .* not 's.example'"),
        ({"urls": ["stun:s.example", "turn://s.example"]}, "must be like .* not 'turn://s.ex"),
        ({"urls": "stun:"}, "must be like .* not 'stun:'"),
        ({"urls": "http://s.example"}, "must be like .* not 'http:"),
        ({"urls": "turn:s", "username": "u"}, 'has a "username", and no "credential"'),
        ({"urls": "turn:s", "credential": "c"}, 'has a "credential", and no "username"'),
        ({"urls": "turn:s", "username": 7, "credential": "c"}, '"username" that must be a string'),
        ({"urls": "turn:s", "username": "u", "credential": 7}, '"credential" that must be a str'),
    ],
)
def test_a_server_that_a_browser_would_refuse_is_refused(server, problem):
    with pytest.raises(UsageError, match=problem) as caught:
        check_ice_servers([{"urls": "stun:s.example"}, server], "north")
    assert str(caught.value).startswith("PROTOO_ICE_SERVERS[1] ")
    assert '; a good value is [{"urls": "stun:' in str(caught.value)


@pytest.mark.parametrize("servers", [None, "stun:s.example", {"urls": "stun:s.example"}, 5])
def test_servers_are_a_list(servers):
    with pytest.raises(UsageError, match="PROTOO_ICE_SERVERS is a list of RTCIceServer"):
        check_ice_servers(servers)


def test_a_credential_is_not_shown():
    servers = [{"urls": "turn:s.example", "credential": "hush"}]
    with pytest.raises(UsageError) as caught:
        check_ice_servers(servers)
    assert "hush" not in str(caught.value)
