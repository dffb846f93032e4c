"""The addresses of clients, and the hints for sites behind proxies that they do not know of."""

from __future__ import annotations

import pytest
from werkzeug.middleware.proxy_fix import ProxyFix

from protoo_flask.site.client_addresses import explain_proxy


def environ_of(hops=0, address="10.0.0.1", **headers):
    """Return the environ of a request as the site sees it.

    :param hops: the proxies that the site knows of.
    """
    environ = {"REMOTE_ADDR": address, "REQUEST_METHOD": "GET"}
    environ.update({f"HTTP_{name.upper()}": value for name, value in headers.items()})
    seen = []
    app = lambda environ, start_response: seen.append(environ) or []  # noqa: E731
    (ProxyFix(app, x_for=hops) if hops else app)(environ, None)
    return seen[0]


def test_without_a_header_of_a_proxy_there_is_no_hint():
    assert explain_proxy(environ_of()) == ""
    assert explain_proxy({}) == ""


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("x_forwarded_for", "X-Forwarded-For"),
        ("forwarded", "Forwarded"),
        ("x_real_ip", "X-Real-Ip"),
    ],
)
def test_a_header_that_is_not_used_is_named_with_the_way_out(name, told):
    hint = explain_proxy(environ_of(**{name: "192.0.2.7"}))
    assert f"has a header {told}, which this site does not use" in hint
    assert "app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1)" in hint


def test_a_proxy_fix_that_takes_another_header_does_not_help():
    assert "does not use" in explain_proxy(environ_of(hops=1, x_real_ip="192.0.2.7"))


def test_an_address_that_the_only_proxy_tells_is_no_reason_for_a_hint():
    assert explain_proxy(environ_of(hops=1, x_forwarded_for="192.0.2.7")) == ""


def test_a_client_may_have_the_address_of_its_proxy():
    environ = environ_of(hops=1, address="127.0.0.1", x_forwarded_for="127.0.0.1")
    assert explain_proxy(environ) == ""


def test_two_proxies_of_which_the_site_knows_one_are_told():
    addresses = "192.0.2.7, 10.0.0.2"
    hint = explain_proxy(environ_of(hops=1, x_forwarded_for=addresses))
    assert "X-Forwarded-For has 2 addresses" in hint
    assert "a larger x_for" in hint
    assert explain_proxy(environ_of(hops=2, x_forwarded_for=addresses)) == ""
