"""Limits on handshakes per user and per address: one in a hundred seconds, on these sites."""

from __future__ import annotations

import pytest


@pytest.fixture
def rationed(site_at):
    return site_at("/rationed")


def test_a_handshake_too_many_is_refused_for_now_and_logged_once(server, rationed, alice, bob):
    cookie = rationed.login(alice)
    with rationed.connect_with("?uuid=a1", Cookie=cookie) as client:
        for uuid in ("a1", "a2", "a1"):
            answer = rationed.knock(f"?uuid={uuid}", Cookie=cookie)
            assert (answer.status, answer.text) == (429, "too many handshakes")
            assert 90 <= int(answer.headers["Retry-After"]) <= 100
        client.nothing_came()  # and nobody has taken its device over
    with rationed.connect(bob) as client:
        client.nothing_came()
    line = f"handshakes of user '{alice}' are refused for now: there are more than 0.01 per second"
    server.wait_for_output(line, server.first_line)
    assert server.output(server.first_line).count(line) == 1


def test_a_plain_get_tells_the_same_and_counts_nothing(rationed, alice):
    headers = {"Cookie": rationed.login(alice)}
    for _ in range(3):
        assert rationed.http("GET", "/protoo?uuid=a1", headers).status == 426
    assert rationed.knock("?uuid=a1", **headers).status == 101
    answer = rationed.http("GET", "/protoo?uuid=a1", headers)
    assert (answer.status, answer.text) == (429, "too many handshakes")
    assert 90 <= int(answer.headers["Retry-After"]) <= 100


def test_who_is_not_logged_in_does_not_count_for_a_user(rationed, alice):
    assert rationed.knock("?uuid=a1").status == 403
    assert rationed.knock("?uuid=a1", Cookie=rationed.login(alice)).status == 101


def test_an_address_is_limited_before_anybody_is_asked(site_at, alice):
    site = site_at("/rationed-addresses")
    here = {"X-Forwarded-For": f"192.0.2.{alice.split('-')[1]}"}
    assert site.knock("?uuid=a1", **here).status == 403
    for cookie in ({}, {"Cookie": site.login(alice)}):
        answer = site.knock("?uuid=a1", **here, **cookie)
        assert (answer.status, answer.text) == (429, "too many handshakes")
        assert int(answer.headers["Retry-After"]) >= 1
        assert site.http("GET", "/protoo", {**here, **cookie}).status == 429
    other = {"X-Forwarded-For": f"2001:db8:0:{alice.split('-')[1]}::1"}
    assert site.knock("?uuid=a1", **other, Cookie=site.login(alice)).status == 101


def test_a_customer_has_one_limit_for_its_many_addresses(site_at, alice):
    site = site_at("/rationed-addresses")
    number = alice.split("-")[1]
    assert site.knock(**{"X-Forwarded-For": f"2001:db8:1:{number}::1"}).status == 403
    assert site.knock(**{"X-Forwarded-For": f"2001:db8:1:{number}:ffff::2"}).status == 429
    assert site.knock(**{"X-Forwarded-For": f"2001:db8:2:{number}::1"}).status == 403
