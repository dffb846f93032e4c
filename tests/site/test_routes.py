"""Routes: the host, the subdomain and the path that they are on, and apps where none can be."""

from __future__ import annotations

import pytest
from flask import Blueprint, Flask, request, url_for

from protoo_flask import Protoo
from protoo_flask.core.errors import UsageError


def make_app(**options):
    app = Flask("site", static_folder=None, **options)
    app.secret_key = "secret"
    return app


def make_tenants(app, **options):
    """Make a site whose authorizer lets everybody in who names the right variable parts."""
    protoo = Protoo(app, **options)

    @protoo.authorize
    def authorize():
        return ("alice", None) if request.view_args == request.args.to_dict() else None

    return app.test_client()


def statuses(client, base_url, path="/protoo", query=""):
    """Return the statuses of a plain GET and of a script."""
    script = client.get(f"{path}/protoo.js", base_url=base_url)
    script.close()
    return client.get(path + query, base_url=base_url).status_code, script.status_code


@pytest.mark.parametrize(
    ("host", "here", "elsewhere"),
    [
        ("chat.example", "http://chat.example", "http://www.chat.example"),
        ("Chat.Example", "http://CHAT.example", "http://chat.example:8000"),
        ("localhost:5000", "http://localhost:5000", "http://localhost"),
        ("chat.example", "https://chat.example:443", "https://chat.example:80"),
    ],
)
def test_with_host_matching_the_routes_are_on_a_host(host, here, elsewhere):
    client = make_tenants(make_app(host_matching=True), host=host)

    assert statuses(client, here) == (426, 200)
    assert statuses(client, elsewhere) == (404, 404)


@pytest.mark.parametrize(
    ("host", "here", "query"),
    [
        ("<host>", "http://chat.example:8000", "?host=chat.example:8000"),
        ("<tenant>.chat.example", "http://acme.chat.example", "?tenant=acme"),
        ("<any('a', B):Name>.Chat.example", "http://a.chat.example", "?Name=a"),
    ],
)
def test_a_host_may_have_variable_parts(host, here, query):
    client = make_tenants(make_app(host_matching=True), host=host)

    assert statuses(client, here, query=query) == (426, 200)
    assert statuses(client, here, query="?tenant=other") == (403, 200)


@pytest.mark.parametrize(
    ("subdomain", "here", "query", "elsewhere"),
    [
        ("chat", "http://chat.site.example", "", "http://site.example"),
        ("Chat", "http://chat.site.example", "", "http://www.site.example"),
        ("", "http://site.example", "", "http://chat.site.example"),
        ("<tenant>", "http://acme.site.example", "?tenant=acme", "http://site.example"),
        ("<tenant>.chat", "http://acme.chat.site.example", "?tenant=acme", "http://site.example"),
    ],
)
def test_with_subdomain_matching_the_routes_are_on_a_subdomain(subdomain, here, query, elsewhere):
    app = make_app(subdomain_matching=True)
    app.config["SERVER_NAME"] = "site.example"
    client = make_tenants(app, subdomain=subdomain)

    assert statuses(client, here, query=query) == (426, 200)
    assert statuses(client, elsewhere, query=query) == (404, 404)


@pytest.mark.parametrize("default", ["", "www"])
def test_without_a_subdomain_the_routes_are_where_those_of_the_site_are(default):
    app = make_app(subdomain_matching=True)
    app.config["SERVER_NAME"] = "site.example"
    app.url_map.default_subdomain = default
    app.add_url_rule("/hello", "hello", lambda: "hello")
    blueprint = Blueprint("shop", __name__, subdomain="shop")
    app.register_blueprint(blueprint)
    client = make_tenants(app)
    here = f"http://{default}.site.example".replace("//.", "//")

    assert client.get("/hello", base_url=here).status_code == 200
    assert statuses(client, here) == (426, 200)
    assert statuses(client, "http://shop.site.example") == (404, 404)


def test_the_path_may_have_variable_parts():
    client = make_tenants(make_app(), path="/<tenant>/<int:n>/chat")

    here = "http://site.example"
    assert statuses(client, here, "/acme/7/chat", "?tenant=other") == (403, 200)
    app = make_app()
    protoo = Protoo(app, path="/<tenant>/<int:n>/chat")
    seen = []
    protoo.authorize(lambda: seen.append(dict(request.view_args)))
    app.test_client().get("/acme/7/chat")
    assert seen == [{"tenant": "acme", "n": 7}]


@pytest.mark.parametrize("base", ["", "/chat"])
def test_below_a_prefix_a_page_finds_the_routes(base):
    app = make_app()
    Protoo(app, path="/ws")

    with app.test_request_context("/", base_url=f"https://site.example{base}"):
        assert url_for("protoo.plain_http") == f"{base}/ws"
        assert url_for("protoo.handshake") == f"wss://site.example{base}/ws"
        assert url_for("protoo.static", filename="protoo.js") == f"{base}/ws/protoo.js"


def test_with_host_matching_a_page_elsewhere_finds_the_routes():
    app = make_app(host_matching=True)
    Protoo(app, host="<tenant>.chat.example")

    with app.test_request_context("/", base_url="https://www.example"):
        assert url_for("protoo.plain_http", tenant="a") == "https://a.chat.example/protoo"
        script = url_for("protoo.static", tenant="a", filename="protoo.js")
        assert script == "https://a.chat.example/protoo/protoo.js"


def set_host_matching(app):
    app.url_map.host_matching = True
    return app


@pytest.mark.parametrize(
    ("make", "options", "way_out"),
    [
        (lambda: make_app(host_matching=True), {}, "set PROTOO_HOST, like"),
        (lambda: set_host_matching(make_app()), {}, "set PROTOO_HOST, like"),
        (
            lambda: make_app(host_matching=True),
            {"subdomain": "chat"},
            "set PROTOO_HOST to the whole host, not PROTOO_SUBDOMAIN to 'chat'",
        ),
        (
            lambda: make_app(host_matching=True),
            {"subdomain": "chat", "host": "chat.example"},
            "an app with host_matching knows no subdomains",
        ),
        (
            lambda: make_app(host_matching=True),
            {"host": "chat.example:80"},
            "for one to 'chat.example': write that$",
        ),
        (make_app, {"host": "chat.example"}, r"needs Flask\(..., host_matching=True\), or"),
        (
            lambda: make_app(subdomain_matching=True),
            {"host": "chat.example"},
            "or PROTOO_SUBDOMAIN and subdomain_matching",
        ),
        (make_app, {"subdomain": "chat"}, r"needs Flask\(..., subdomain_matching=True\), and"),
        (make_app, {"subdomain": "<tenant>"}, r"needs Flask\(..., subdomain_matching=True\), and"),
        (lambda: make_app(subdomain_matching=True), {"subdomain": "chat"}, "SERVER_NAME"),
    ],
)
def test_an_app_in_which_nobody_would_find_the_routes_is_refused(make, options, way_out):
    app = make()

    with pytest.raises(UsageError, match=way_out):
        Protoo(app, **options)

    # The mistake can be mended, and the app be initialised again.
    assert "protoo" not in app.extensions
    assert "protoo" not in app.blueprints


def test_a_name_of_the_server_alone_is_enough_where_flask_takes_it_for_enough():
    """Until Flask 3.0, SERVER_NAME turns matching of subdomains on."""
    app = make_app()
    app.config["SERVER_NAME"] = "site.example"
    app.add_url_rule("/hello", "hello", lambda: "hello", subdomain="chat")
    works = app.test_client().get("/hello", base_url="http://chat.site.example").status_code == 200
    app = make_app()
    app.config["SERVER_NAME"] = "site.example"

    if works:
        client = make_tenants(app, subdomain="chat")
        assert statuses(client, "http://chat.site.example") == (426, 200)
    else:
        with pytest.raises(UsageError, match="subdomain_matching=True"):
            Protoo(app, subdomain="chat")


def test_a_name_of_the_server_that_hides_the_host_is_refused_where_flask_lets_it_hide():
    """Until Flask 3.0, SERVER_NAME wins over the Host header, also with host_matching."""

    def make():
        app = make_app(host_matching=True)
        app.config["SERVER_NAME"] = "site.example"
        return app

    app = make()
    app.add_url_rule("/hello", "hello", lambda: "hello", host="chat.example")
    works = app.test_client().get("/hello", base_url="http://chat.example").status_code == 200
    if works:
        assert statuses(make_tenants(make(), host="chat.example"), "http://chat.example") == (
            426,
            200,
        )
    else:
        with pytest.raises(UsageError, match="write that, or remove SERVER_NAME"):
            Protoo(make(), host="chat.example")
    assert statuses(make_tenants(make(), host="site.example"), "http://site.example") == (426, 200)


def test_hosts_that_are_not_trusted_do_not_matter_before_a_request_comes():
    app = make_app(subdomain_matching=True)
    app.config.update(SERVER_NAME="site.example", TRUSTED_HOSTS=["chat.site.example"])
    client = make_tenants(app, subdomain="<tenant>")

    assert statuses(client, "http://chat.site.example", query="?tenant=chat") == (426, 200)
