"""Origins: those that are equal, and those that no browser would write."""

from __future__ import annotations

import pytest

from protoo_flask.origins import (
    Origin,
    allowed_origin,
    explain_fault,
    origin_of_url,
    page_scheme,
    parse_origin,
)


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://a.example", ("https", "a.example", 443)),
        ("HTTPS://A.Example:443", ("https", "a.example", 443)),
        ("wss://a.example", ("https", "a.example", 443)),
        ("ws://a.example:80", ("http", "a.example", 80)),
        ("http://a.example:8000", ("http", "a.example", 8000)),
        ("http://a_b.example", ("http", "a_b.example", 80)),
        ("http://[::1]:8000", ("http", "[::1]", 8000)),
        ("http://[0:0::0001]", ("http", "[::1]", 80)),
        ("http://[::FFFF:127.0.0.1]", parse_origin("http://[::ffff:7f00:1]")),
        ("null", ("null", "", None)),
        ("file://", ("file", "", None)),
        ("qrc://", ("qrc", "", None)),
        ("app://.", ("app", ".", None)),
        ("capacitor://localhost", ("capacitor", "localhost", None)),
        ("wails://wails.localhost:34115", ("wails", "wails.localhost", 34115)),
        ("safari-web-extension://0A1B", ("safari-web-extension", "0a1b", None)),
    ],
)
def test_an_origin_is_read_in_every_form_that_clients_send(text, origin):
    assert parse_origin(text) == origin


@pytest.mark.parametrize(
    "text",
    [
        *("", "a.example", "NULL", "://a.example", "https:a.example", "https//a.example"),
        *("https://", "https://:443", "https:///", "https://a.example/", "https://a.example/b"),
        *("https://a.example?b", "https://a.example#b", "https://b@a.example", "https://a b"),
        *("https://a.example:port", "https://a.example:0", "https://a.example:65536"),
        *("https://a.example:\u0663", "https://a.example\n", "https://*.example", "https://a%2eb"),
        *("https://[::1", "https://[1]", "https://::1", "https://a.example https://b.example"),
        *("https://m\u00fcnchen.example", "app://:80", "file:///", "1a://b"),
    ],
)
def test_anything_else_is_no_origin(text):
    assert parse_origin(text) is None


@pytest.mark.parametrize(
    ("entry", "origin"),
    [
        ("https://a.example/", Origin("https", "a.example", 443)),
        ("app://./", Origin("app", ".", None)),
        ("file:///", Origin("file", "", None)),
        ("file://", Origin("file", "", None)),
        ("http://127.0.0.1:5000", Origin("http", "127.0.0.1", 5000)),
        ("https://xn--mnchen-3ya.example", Origin("https", "xn--mnchen-3ya.example", 443)),
        ("null", Origin("null", "", None)),
    ],
)
def test_a_developer_may_write_a_slash_at_the_end(entry, origin):
    assert explain_fault(entry) is None
    assert allowed_origin(entry) == origin


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        (5, "5 is no text"),
        (b"https://a.example", "b'https://a.example' is no text"),
        ("", '"" has no scheme'),
        ("a.example:443", '"a.example:443" has no scheme, as "https://example.org" has'),
        ("Null", '"Null" has no scheme'),
        ("*", '"*" in a list matches nothing: name each host, or allow "*" alone'),
        ("https://*.example", '"https://\\*.example" in a list matches nothing'),
        ("https://a.example:*", "in a list matches nothing"),
        ("https://a.example/chat", 'is more than an origin, which is "https://a.example"'),
        ("https://a.example//", 'is more than an origin, which is "https://a.example"'),
        ("wss://a.example?b=c", 'is more than an origin, which is "wss://a.example"'),
        ("https://b:c@a.example:8443/", 'an origin, which is "https://a.example:8443"'),
        ("file:///home/me/app.html", 'is more than an origin, which is "file://"'),
        ("file://localhost", "is no scheme, host and port as browsers write them"),
        ("https://", "is no scheme, host and port as browsers write them"),
        ("https://a.example:99999", "is no scheme, host and port as browsers write them"),
        ("http://127.1", "is no scheme, host and port as browsers write them"),
        ("http://010.0.0.1", "is no scheme, host and port as browsers write them"),
        (" https://a.example", "is no scheme, host and port as browsers write them"),
        (
            "https://M\u00fcnchen.example:8443/",
            'letters that browsers write in ASCII: "https://xn--mnchen-3ya.example:8443"',
        ),
        # Python would write "strasse", and browsers do not.
        ("https://stra\u00dfe.example", 'that browsers write in ASCII: "https://xn--..."'),
        ("https://a\u2603..example", 'that browsers write in ASCII: "https://xn--..."'),
    ],
)
def test_an_entry_that_no_page_could_match_is_explained(entry, fault):
    found = explain_fault(entry)

    assert found is not None
    assert fault.replace("\\", "") in found


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://a.example/chat?to=bob", "https://a.example"),
        ("http://a.example:8000", "http://a.example:8000"),
        ("HTTP://[::1]:5000/", "HTTP://[::1]:5000"),
        ("", None),
        ("/chat", None),
        ("about:client", None),
        ("android-app://com.example/", None),
        ("https://b@a.example/", None),
        ("https:///chat", None),
    ],
)
def test_the_url_of_a_page_has_its_origin(url, origin):
    assert origin_of_url(url) == origin


@pytest.mark.parametrize(
    ("scheme", "same"),
    [("ws", "http"), ("WSS", "https"), ("HTTPS", "https"), ("http", "http"), ("app", "app")],
)
def test_schemes_of_websockets_have_a_twin_for_pages(scheme, same):
    assert page_scheme(scheme) == same
