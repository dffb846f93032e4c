"""WSGI middlewares and code of the site that get in the way of a handshake."""

from __future__ import annotations

import re

import pytest

from .clients import Site
from .processes import KINDS, SITES, start
from .wrapped_sites import READERS

WRAPPED = "tests.servers.wrapped_sites:create_app"


@pytest.fixture(scope="module", params=KINDS)
def wrapped_server(request):
    command, stop_signal = KINDS[request.param]
    command = [part.replace(SITES, WRAPPED) for part in command]
    server = start(request.param, command, stop_signal=stop_signal, FLASK_APP=WRAPPED)
    yield server
    server.stop()
    assert server.complaints() == []


@pytest.fixture
def wrapped_at(wrapped_server):
    return lambda name: Site(wrapped_server.port, f"/{name}")


def check_that_it_works(site):
    with site.connect_with("?username=alice") as a:
        assert a.request("get", "/echo", {"n": 1})["data"] == {"n": 1}
        assert site.get("/hello").startswith("hello")
        a.nothing_came()


@pytest.mark.parametrize("name", ["lint", "limit", "copy", "note", "collect"])
def test_a_middleware_that_wraps_parts_of_a_request_does_no_harm(wrapped_at, name):
    check_that_it_works(wrapped_at(name))


def test_no_middleware_complains(wrapped_server, wrapped_at):
    check_that_it_works(wrapped_at("lint"))
    assert "Warning: 101" not in wrapped_server.output()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("drop", "a WSGI middleware that makes a new environ must copy"),
        ("socket", "has put a WrappedSocket in the place of the server's"),
    ],
)
def test_a_middleware_that_hides_the_socket_is_named(wrapped_server, wrapped_at, name, reason):
    site = wrapped_at(name)
    if wrapped_server.kind.startswith("pywsgi"):
        check_that_it_works(site)  # pywsgi has no key for its socket
    else:
        check_that_it_is_refused(wrapped_server, site, reason)


@pytest.mark.parametrize("wrapped_server", ["pywsgi", "pywsgi-unpatched"], indirect=True)
def test_a_middleware_that_hides_the_socket_of_pywsgi_is_named(wrapped_server, wrapped_at):
    reason = "which a WSGI middleware has replaced: let the middleware pass"
    check_that_it_is_refused(wrapped_server, wrapped_at("another-greenlet"), reason)


def check_that_it_is_refused(server, site, reason):
    for _ in range(3):
        answer = site.knock("?username=alice")
        assert answer.status == 500
        assert reason in answer.text
    # A page learns the reason, and not that a handshake would be welcome.
    plain = site.http("GET", "/protoo?username=alice")
    assert (plain.status, plain.text) == (500, answer.text)
    assert site.get("/hello").startswith("hello")
    server.wait_for_output(re.escape(answer.text))
    assert server.output().count(answer.text) == 1


@pytest.mark.parametrize("name", READERS)
def test_code_that_reads_the_body_of_a_handshake_reads_nothing(wrapped_at, name):
    check_that_it_works(wrapped_at(name))


@pytest.mark.parametrize("header", [{"Content_Length": "5"}, {"Transfer_Encoding": "chunked"}])
def test_a_handshake_with_a_body_is_refused(wrapped_at, header):
    answer = wrapped_at("copy").knock("?username=alice", **header)
    assert (answer.status, answer.text) == (400, "a WebSocket handshake has no body")


def test_a_handshake_with_a_body_of_no_bytes_is_accepted(wrapped_at):
    assert wrapped_at("copy").knock("?username=alice", Content_Length="0").status == 101


def test_a_site_may_have_a_response_class_of_its_own(wrapped_at):
    site = wrapped_at("response-class")
    answer = site.knock("?username=alice")
    assert answer.status == 101
    assert "seen=yes" in answer.headers["Set-Cookie"]
    check_that_it_works(site)
