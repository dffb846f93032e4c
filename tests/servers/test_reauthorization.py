"""Sites that regularly check whether their peers may stay."""

from __future__ import annotations

import pytest

from .clients import eventually

REVOKED = (3001, "authorization revoked")


def connect(site, cookie, uuid):
    return site.connect_with(f"?uuid={uuid}", Cookie=cookie)


@pytest.fixture
def club(site_at):
    """Return the site with Flask-Login."""
    return site_at("/club")


def authorizations(site, username):
    """Return how often the authorizer has accepted a user."""
    return site.get(f"/journal/{username}").count("authorized")


@pytest.mark.parametrize("how", ["ban", "suspend"])
def test_a_banned_member_is_disconnected_and_the_others_stay(club, alice, bob, how):
    cookies = {name: club.login(name, "/flask-login/") for name in (alice, bob)}
    with connect(club, cookies[alice], "a1") as a, connect(club, cookies[bob], "b1") as b:
        for name in (alice, bob):
            eventually(lambda name=name: authorizations(club, name) >= 2, True)
        club.post(f"/{how}/{alice}")
        assert a.wait_for_close() == REVOKED
        assert club.get(f"/peers?username={alice}") == []
        before = authorizations(club, bob)
        eventually(lambda: authorizations(club, bob) > before, True)
        b.nothing_came()
    assert club.knock(Cookie=cookies[alice]).status == 401


def test_a_logout_in_one_tab_ends_the_connections_of_all_tabs(club, alice, bob):
    cookies = {name: club.login(name, "/flask-login/") for name in (alice, bob)}
    with connect(club, cookies[alice], "a1") as a1, connect(club, cookies[alice], "a2") as a2:
        with connect(club, cookies[bob], "b1") as b:
            assert club.http("GET", "/logout", {"Cookie": cookies[alice]}).text == "goodbye"
            assert a1.wait_for_close() == a2.wait_for_close() == REVOKED
            b.nothing_came()


def test_destroying_a_session_on_the_server_ends_its_connections(site_at, alice, bob):
    library = site_at("/library")
    # Alice has logged in twice: at home, and at work.
    home, work, cookie = library.login(alice), library.login(alice), library.login(bob)
    with connect(library, home, "a1") as a1, connect(library, work, "a2") as a2:
        with connect(library, cookie, "b1") as b:
            assert library.http("GET", "/logout", {"Cookie": home}).text == "goodbye"
            assert a1.wait_for_close() == REVOKED
            a2.nothing_came()
            b.nothing_came()
    assert library.knock(Cookie=home).status == 403
