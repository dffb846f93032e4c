"""Which handshakes are accepted, and the reasons given for refusals."""

from __future__ import annotations

import pytest

from .clients import eventually

# Handshakes that break the rules ----------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status", "reason"),
    [
        ({"Sec_WebSocket_Protocol": None}, 400, 'the sub-protocol must be "protoo"'),
        ({"Sec_WebSocket_Protocol": "chat, soap"}, 400, 'the sub-protocol must be "protoo"'),
        ({"Sec_WebSocket_Version": "8"}, 426, "this is WebSocket version 13"),
        ({"Sec_WebSocket_Key": None}, 400, "Sec-WebSocket-Key must be"),
        ({"Sec_WebSocket_Key": "c2hvcnQ="}, 400, "Sec-WebSocket-Key must be"),
    ],
    ids=["no sub-protocol", "another sub-protocol", "old version", "no key", "short key"],
)
def test_a_handshake_that_breaks_the_rules_is_refused(site, alice, headers, status, reason):
    answer = site.knock(Cookie=site.login(alice), **headers)

    assert answer.status == status
    assert answer.text.startswith(reason)
    assert answer.headers.get_content_type() == "text/plain"
    if status == 426:
        assert answer.headers["Sec-WebSocket-Version"] == "13"


def test_protoo_may_be_one_of_several_sub_protocols(site, alice):
    answer = site.knock(Cookie=site.login(alice), Sec_WebSocket_Protocol="soap, protoo")

    assert answer.status == 101
    assert answer.headers["Sec-WebSocket-Protocol"] == "protoo"


def test_the_headers_may_be_spelled_as_in_any_browser(site, alice):
    answer = site.knock(
        Cookie=site.login(alice), Connection="keep-alive, Upgrade", Upgrade="WebSocket"
    )

    assert answer.status == 101


# Users and devices ------------------------------------------------------------------


def test_a_client_without_a_login_is_refused(site):
    answer = site.knock()

    assert (answer.status, answer.text) == (403, "not logged in")


def test_a_cookie_with_a_wrong_signature_is_refused(site, alice):
    cookie = site.login(alice)

    assert site.knock(Cookie=cookie[:-4] + "AAAA").status == 403


def test_a_logged_in_user_is_accepted_under_that_name(site, alice):
    with site.connect(alice, "a1"):
        assert site.get(f"/peers?username={alice}") == [f"{alice}/a1"]


def test_a_device_without_a_uuid_gets_one(site, alice):
    cookie = site.login(alice)
    with site.connect_with("", Cookie=cookie), site.connect_with("?uuid=", Cookie=cookie):
        devices = site.get(f"/peers?username={alice}")

    assert len(set(devices)) == 2
    assert all(len(device.split("/")[1]) >= 8 for device in devices)


def test_a_uuid_that_is_too_long_is_refused(site, alice):
    answer = site.knock("?uuid=" + 200 * "x", Cookie=site.login(alice))

    assert answer.status == 400
    assert "uuid has at most 128 characters" in answer.text


@pytest.mark.parametrize(
    ("how", "status", "text"),
    [
        ("none", 403, "not authorized"),
        ("reject", 402, "pay first"),
        ("reject-half", 402, "pay \ufffd"),
        ("abort", 401, "log in first"),
        ("abort-with-response", 418, "no coffee"),
    ],
)
def test_the_authorizer_refuses_with_a_status_and_a_reason(site_at, how, status, text):
    strict = site_at("/strict")

    for answer in (strict.knock(f"?how={how}"), strict.http("GET", f"/protoo?how={how}")):
        assert answer.status == status
        assert text in answer.text
    assert strict.get("/peers") == []


@pytest.mark.parametrize(
    ("how", "traceback"),
    [
        ("crash", "Deliberate: in the authorizer"),
        ("nonsense", "UsageError: the function given to @protoo.authorize returns"),
        ("nobody", "UsageError: the function given to @protoo.authorize returned .* no username"),
    ],
)
def test_a_failing_authorizer_refuses_the_handshake(server, site_at, how, traceback):
    answer = site_at("/strict").knock(f"?how={how}")

    assert answer.status == 500
    assert "Deliberate" not in answer.text
    server.expect_traceback(traceback)


def test_the_authorizer_gives_name_uuid_and_data(site_at):
    with site_at("/strict").connect_with("?how=number") as client:
        myself = client.request("get", "/myself")["data"]

    assert myself["username"] == "42"
    assert len(myself["uuid"]) >= 8
    assert myself["data"] == {"role": "admin"}


def test_a_user_is_found_and_disconnected_by_the_id_of_a_database(site_at):
    strict = site_at("/strict")
    with strict.connect_with("?how=number") as client:
        assert strict.post("/ids") == [True, 1]
        assert client.wait_for_close() == (3001, "authorization revoked")


def test_a_user_of_flask_login_is_accepted(site_at, alice):
    members = site_at("/members")
    cookie = members.login(alice, "/flask-login/")

    with members.connect_with("?uuid=a1", Cookie=cookie) as client:
        assert client.request("get", "/current-user")["data"] == {"id": alice}
        assert members.get(f"/peers?username={alice}") == [f"{alice}/a1"]


def test_the_seventeenth_device_is_refused_for_now_with_a_reason(site, alice):
    cookie = site.login(alice)
    clients = [site.connect_with(f"?uuid={n}", Cookie=cookie) for n in range(16)]
    try:
        answer = site.knock("?uuid=16", Cookie=cookie)
        assert answer.status == 429
        assert answer.text == f"{alice} is connected from 16 devices already, which is the limit"
        plain = site.http("GET", "/protoo?uuid=16", {"Cookie": cookie})
        assert (plain.status, plain.text) == (429, answer.text)
        # A device that has gone without a word is noticed after two pings.
        assert answer.headers["Retry-After"] == plain.headers["Retry-After"] == "50"
        # A connected device may connect again at the limit.
        clients.append(site.connect_with("?uuid=0", Cookie=cookie))
        clients.pop().close()
        eventually(lambda: len(site.get(f"/peers?username={alice}")), 15)
        clients.append(site.connect_with("?uuid=16", Cookie=cookie))
    finally:
        for client in clients:
            client.close()


def test_a_device_too_many_may_come_back_after_a_whole_number_of_seconds(site_at, alice):
    brisk = site_at("/brisk")
    cookie = brisk.login(alice)
    clients = [brisk.connect_with(f"?uuid={n}", Cookie=cookie) for n in range(16)]
    try:
        assert brisk.knock("?uuid=16", Cookie=cookie).headers["Retry-After"] == "1"
    finally:
        for client in clients:
            client.close()


# A plain GET, which tells browsers the reason ---------------------------------------


def test_a_page_view_of_the_endpoint_gets_an_explanation(site, alice):
    answer = site.http("GET", "/protoo", {"Cookie": site.login(alice)})

    assert answer.status == 426
    assert answer.headers["Upgrade"] == "websocket"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "This is a WebSocket endpoint" in answer.text
    assert "proxy_http_version" in answer.text


def test_a_plain_get_gets_the_reason_why_a_handshake_would_be_refused(site):
    answer = site.http("GET", "/protoo")

    assert (answer.status, answer.text) == (403, "not logged in")
    assert answer.headers["Cache-Control"] == "no-store"


def test_the_browser_client_is_served_below_the_endpoint(site):
    for name in ("protoo.js", "protoo.mjs"):
        answer = site.http("GET", f"/protoo/{name}")
        assert answer.status == 200
        assert "javascript" in answer.headers.get_content_type()


# The origin of the page -------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("example.org", None, 101),
        ("example.org", "http://example.org", 101),
        ("example.org", "http://example.org:80", 101),
        ("EXAMPLE.org", "http://example.ORG", 101),
        ("example.org:8000", "http://example.org:8000", 101),
        ("[::1]:8000", "http://[::1]:8000", 101),
        # A proxy that terminates TLS forwards the Host header over plain HTTP.
        ("example.org", "https://example.org", 101),
        ("example.org:8443", "https://example.org:8443", 101),
        ("example.org", "https://example.org:8443", 403),
        ("example.org", "http://example.org:8000", 403),
        ("example.org:8000", "http://example.org", 403),
        ("example.org", "http://evil.example", 403),
        ("example.org", "http://example.org.evil.example", 403),
        ("example.org", "http://example.org@evil.example", 403),
        ("example.org", "http://sub.example.org", 403),
        ("example.org", "ftp://example.org", 403),
        ("example.org", "null", 403),
        ("example.org", "", 403),
        ("example.org", "http://", 403),
        ("example.org", "http://[::1", 403),
        ("example.org", "http://example.org:port", 403),
    ],
)
def test_only_pages_of_the_site_itself_may_connect(site, alice, host, origin, status):
    cookie = site.login(alice)

    answer = site.knock("?uuid=a1", Cookie=cookie, Host=host, Origin=origin)
    plain = site.http("GET", "/protoo", {"Cookie": cookie, "Host": host, "Origin": origin or ""})

    assert answer.status == status
    if origin is not None:
        assert plain.status == (426 if status == 101 else 403)
    if status == 403:
        assert f"origin {origin} is not allowed" in answer.text
        assert f"this site is http://{host.lower()} " in answer.text.lower()
        assert "PROTOO_ALLOWED_ORIGINS" in answer.text
        assert plain.text == answer.text


def test_a_page_loaded_over_http_may_not_connect_to_a_site_with_tls(site_at, alice):
    proxied = site_at("/proxied")
    cookie = proxied.login(alice)
    behind = {"X_Forwarded_Proto": "https", "X_Forwarded_Host": "chat.example"}

    assert proxied.knock(Cookie=cookie, Origin="https://chat.example", **behind).status == 101
    assert proxied.knock(Cookie=cookie, Origin="http://chat.example", **behind).status == 403


@pytest.mark.parametrize("scheme", ["wss", "WSS", "https", "HTTPS"])
@pytest.mark.parametrize("host", ["chat.example", "chat.example:443", "chat.example:8443"])
def test_a_proxy_may_say_either_scheme_of_one_level_of_security(site_at, alice, scheme, host):
    proxied = site_at("/proxied")
    cookie = proxied.login(alice)
    behind = {"Cookie": cookie, "X_Forwarded_Proto": scheme, "X_Forwarded_Host": host}

    for name in (host, host.replace(":443", "").upper()):
        assert proxied.knock(Origin=f"https://{name}", **behind).status == 101
        answer = proxied.knock(Origin=f"http://{name}", **behind)
        assert answer.status == 403
        assert "this site is" in answer.text


@pytest.mark.parametrize("scheme", ["ws", "http"])
def test_a_proxy_may_say_that_a_handshake_is_not_secure(site_at, alice, scheme):
    proxied = site_at("/proxied")
    behind = {
        "Cookie": proxied.login(alice),
        "X_Forwarded_Proto": scheme,
        "X_Forwarded_Host": "chat.example:80",
    }

    for origin in ("http://chat.example", "ws://chat.example", "http://chat.example:80"):
        assert proxied.knock(Origin=origin, **behind).status == 101
    assert proxied.knock(Origin="http://chat.example:8080", **behind).status == 403


def test_handlers_behind_a_proxy_that_says_wss_build_links_for_pages(site_at, alice):
    proxied = site_at("/proxied")
    behind = {"X_Forwarded_Proto": "wss", "X_Forwarded_Host": "chat.example"}

    with proxied.connect(alice, Origin="https://chat.example", X_Agent="test", **behind) as client:
        data = client.request("get", "/where")["data"]

    assert data["external_url"] == "https://chat.example/proxied/hello"


def test_a_get_without_an_upgrade_is_no_handshake_whatever_a_proxy_says(site_at, alice):
    proxied = site_at("/proxied")
    cookie = proxied.login(alice)
    for scheme in ("ws", "wss", "http", "https"):
        plain = proxied.http("GET", "/protoo", {"Cookie": cookie, "X-Forwarded-Proto": scheme})
        dropped = proxied.knock(
            Cookie=cookie, X_Forwarded_Proto=scheme, Connection=None, Upgrade=None
        )

        for answer in (plain, dropped):
            assert answer.status == 426
            assert "This is a WebSocket endpoint" in answer.text


@pytest.mark.parametrize("page", ["/", "/chat?room=7", ""])
@pytest.mark.parametrize("host", ["127.0.0.1:8000", "chat.example:8443", "www.chat.example"])
def test_a_page_is_told_by_a_plain_get_that_the_proxy_hides_the_host(site, alice, host, page):
    cookie = site.login(alice)
    handshake = site.knock(Cookie=cookie, Host=host, Origin="https://chat.example")

    # A browser sends no Origin in a GET to the same origin.
    plain = site.http(
        "GET", "/protoo", {"Cookie": cookie, "Host": host, "Referer": f"https://chat.example{page}"}
    )

    assert handshake.status == 403
    assert (plain.status, plain.text) == (handshake.status, handshake.text)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Referer": "http://chat.example/page"},
        {"Referer": "https://chat.example/page"},
        # Not the pages that connect.
        {"Referer": "https://evil.example/page", "Accept": "text/html,*/*;q=0.8"},
        {"Referer": "android-app://com.example.mail/"},
        {"Referer": "http://[::1"},
        {"Referer": ""},
        # The Origin of a script says more than its Referer.
        {"Referer": "https://evil.example/", "Origin": "http://chat.example"},
    ],
)
def test_a_plain_get_is_not_refused_for_a_page_that_could_connect(site, alice, headers):
    cookie = site.login(alice)

    answer = site.http("GET", "/protoo", {"Cookie": cookie, "Host": "chat.example", **headers})

    assert answer.status == 426


def test_the_page_that_a_native_application_names_does_not_matter(site, alice):
    answer = site.knock(Cookie=site.login(alice), Referer="https://evil.example/")

    assert answer.status == 101


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://partner.example", 101),
        ("https://PARTNER.example", 101),
        ("https://partner.example:443", 101),
        ("https://other.example:8443", 101),
        ("https://other.example", 403),
        ("http://partner.example", 403),
        ("https://evil.example", 403),
    ],
)
def test_pages_of_allowed_origins_may_connect_too(site_at, alice, origin, status):
    partners = site_at("/partners")

    assert partners.knock(Cookie=partners.login(alice), Origin=origin).status == status


def test_a_site_may_allow_every_origin(site_at, alice):
    anybody = site_at("/any")
    cookie = anybody.login(alice)

    for origin in ("https://evil.example", "null"):
        assert anybody.knock(Cookie=cookie, Origin=origin).status == 101


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("file://", 101),
        ("null", 101),
        ("capacitor://localhost", 101),
        ("ionic://localhost", 101),
        ("app://.", 101),
        ("chrome-extension://abcdefghijklmnopabcdefghijklmnop", 101),
        ("moz-extension://0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0", 101),
        ("file:///", 403),
        ("capacitor://", 403),
        ("capacitor://other", 403),
        ("ionic://localhost:80", 403),
        ("http://localhost", 403),
        ("app://", 403),
        ("chrome-extension://ponmlkjihgfedcbaponmlkjihgfedcba", 403),
        ("https://evil.example", 403),
    ],
)
def test_applications_have_origins_of_other_schemes_or_without_a_host(
    site_at, alice, origin, status
):
    applications = site_at("/applications")

    answer = applications.knock(Cookie=applications.login(alice), Origin=origin)

    assert answer.status == status


@pytest.mark.parametrize("logged_in", [True, False])
def test_a_page_of_an_allowed_origin_may_read_the_plain_answer(site_at, alice, logged_in):
    partners = site_at("/partners")
    headers = {"Origin": "https://partner.example"}
    if logged_in:
        headers["Cookie"] = partners.login(alice)

    answer = partners.http("GET", "/protoo", headers)

    assert answer.status == (426 if logged_in else 401)
    assert answer.headers["Access-Control-Allow-Origin"] == "https://partner.example"
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert answer.headers["Access-Control-Expose-Headers"] == "Retry-After, Protoo-Handshake"
    assert "Origin" in answer.headers["Vary"]
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_page_of_a_foreign_origin_may_not_read_the_plain_answer(site, site_at, alice):
    for there in (site, site_at("/partners")):
        headers = {"Origin": "https://evil.example", "Cookie": there.login(alice)}
        answer = there.http("GET", "/protoo", headers)

        assert answer.status == 403
        assert "Access-Control-Allow-Origin" not in answer.headers
