"""The Flask contexts of handlers and listeners, and the teardown functions after each of them."""

from __future__ import annotations

from .clients import eventually


def teardowns(journal, mark):
    return sorted(entry for entry in journal if entry.endswith(f" {mark}"))


def once(mark):
    return [f"teardown_appcontext {mark}", f"teardown_request {mark}"]


# The contexts of a handler ----------------------------------------------------------


def test_a_handler_finds_the_request_of_the_handshake(site, alice):
    with site.connect(alice, "a1", "&x=1", X_Agent="tests") as a:
        for _ in range(2):
            assert a.request("get", "/where")["data"] == {
                "path": "/protoo",
                "uuid": "a1",
                "agent": "tests",
                "username": alice,
                "site": "main",
                "url": "/hello",
                "external_url": f"http://{site.host}/hello",
            }


def test_urls_respect_the_prefix_of_the_site_and_its_proxy(site_at, alice):
    proxied = site_at("/proxied")
    headers = {"X_Forwarded_Proto": "https", "X_Forwarded_Host": "chat.example"}
    with proxied.connect(alice, "a1", X_Agent="tests", **headers) as a:
        data = a.request("get", "/where")["data"]

    assert data["site"] == "proxied"
    assert data["url"] == "/proxied/hello"
    assert data["external_url"] == "https://chat.example/proxied/hello"


def test_g_is_fresh_for_every_message(site, alice):
    with site.connect(alice) as a:
        assert [a.request("get", "/count")["data"]["count"] for _ in range(3)] == [1, 1, 1]


def test_handlers_find_the_request_of_the_newest_connection(site, alice):
    cookie = site.login(alice)
    with site.connect_with("?uuid=a1", Cookie=cookie, X_Agent="old"):
        with site.connect_with("?uuid=a1", Cookie=cookie, X_Agent="new") as a:
            assert a.request("get", "/where")["data"]["agent"] == "new"


# Teardown functions -----------------------------------------------------------------


def test_teardown_functions_run_once_after_every_message(server, site, alice):
    with site.connect(alice) as a:
        a.request("get", "/echo")
        a.request("get", "/nowhere")
        a.request("get", "/abort")
        a.request("get", "/crash")
        server.expect_traceback("Deliberate: crash")
        a.notify("notify", "/of-nothing")
        a.notify("get", "/count")
        a.start("get", f"/ask/{alice}")
        a.respond(a.expect("question"), 200)
        a.receive()
        # The request for the journal waits until the requests before it are handled.
        journal = a.journal()

    for mark in (
        "get /echo",
        "get /nowhere",
        "get /abort",
        "get /crash",
        "notify /of-nothing",
        "get /count",
        f"get /ask/{alice}",
    ):
        assert teardowns(journal, mark) == once(mark)
    assert "routing_error Deliberate('crash') in get /crash." in journal


def test_teardown_functions_do_not_run_while_a_handler_waits(site, alice, bob):
    with site.connect(alice, "a1") as a1, site.connect(alice, "a2") as a2, site.connect(bob) as b:
        mark = f"get /ask/{bob}"
        a1.start("get", f"/ask/{bob}")
        question = b.expect("question")
        assert teardowns(a2.journal(), mark) == []
        b.respond(question, 200)
        a1.receive()
        assert teardowns(a1.journal(), mark) == once(mark)


def test_teardown_functions_run_once_after_a_handshake(site, alice):
    with site.connect(alice) as a:
        a.request("get", "/echo")
        assert teardowns(a.journal(), "/protoo") == once("/protoo")


def test_teardown_functions_run_once_after_a_refused_handshake(server, site, site_at, alice):
    site.knock(f"?user={alice}")
    site.http("GET", f"/protoo?user={alice}")
    eventually(
        lambda: teardowns(site.get(f"/journal/{alice}"), "/protoo"), sorted(2 * once("/protoo"))
    )

    strict = site_at("/strict")
    strict.knock(f"?how=crash&user={alice}")
    server.expect_traceback("Deliberate: in the authorizer")
    strict.knock(f"?how=abort&user={alice}")
    strict.knock(f"?how=none&user={alice}")
    eventually(
        lambda: teardowns(strict.get(f"/journal/{alice}"), "/protoo"), sorted(3 * once("/protoo"))
    )


def test_teardown_functions_run_once_after_each_response(site, alice, bob):
    with site.connect(alice, "a1") as a, site.connect(bob) as b:
        a.start("get", f"/mark-answers/{bob}")
        question = b.expect("question")
        b.respond(question, 180)
        b.respond(question, 200)
        # A response is handled in the contexts of the peer that sent it.
        assert a.receive()["data"] == {"context": bob}
        b.nothing_came()
        journal = a.journal()

    assert teardowns(journal, "response 180") == once("response 180")
    assert teardowns(journal, "response 200") == once("response 200")


def test_teardown_functions_run_once_after_an_error_in_on_response(server, site_at, alice, bob):
    proxied = site_at("/proxied")  # in debug mode, where old releases of Flask keep contexts
    with proxied.connect(alice) as a, proxied.connect(bob) as b:
        assert a.request("get", f"/mishandled-answers/{bob}")["status"] == 200
        b.respond(b.expect("question"), 200)
        server.expect_traceback("Deliberate: in on_response")
        b.nothing_came()
        mark = "mishandled response 200"
        eventually(lambda: teardowns(a.journal(), mark), once(mark))


def test_a_response_inside_of_a_handler_does_not_change_the_contexts_of_the_handler(
    site, alice, bob
):
    with site.connect(alice, "a1") as a, site.connect(bob) as b:
        mark = f"get /change-of-mind/{bob}"
        assert a.request("get", f"/change-of-mind/{bob}")["data"] == {"mark": mark}
        assert teardowns(a.journal(), mark) == once(mark)
        b.expect("question")
        eventually(lambda: teardowns(b.journal(), "response 487"), once("response 487"))


def test_teardown_functions_run_once_after_each_signal(site, alice):
    with site.connect(alice) as a:
        a.nothing_came()
        mark = "protoo-peer-online"
        assert teardowns(a.journal(), mark) == once(mark)
    mark = "protoo-peer-offline"
    eventually(lambda: teardowns(site.get(f"/journal/{alice}"), mark), once(mark))


# A pair of before_request and teardown_request ---------------------------------------


def test_a_teardown_function_that_needs_before_request_is_explained_in_the_log(
    server, site_at, alice
):
    with site_at("/careless").connect(alice) as a:
        for _ in range(3):
            assert a.request("get", "/echo", {"n": 1})["data"] == {"n": 1}
    server.allow_traceback("AttributeError: .*opened|Errors during")
    line = server.wait_for_output(f"error after get /echo from <Peer {alice}", server.first_line)
    assert "close_it (" in line
    assert "sites.py:" in line


def test_a_middleware_without_a_path_does_the_work_of_before_request(server, site_at, alice):
    with site_at("/careful").connect(alice) as a:
        assert a.request("get", "/echo", {"n": 1})["data"] == {"n": 1}
        assert a.request("get", "/nowhere")["status"] == 404
        a.notify("get", "/echo")
        a.nothing_came()
    assert "error after" not in server.output(server.first_line)
