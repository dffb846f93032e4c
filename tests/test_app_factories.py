"""App factories: a Protoo of a module that serves many apps, and one made for each app."""

from __future__ import annotations

import functools
import gc
import textwrap
import weakref

import pytest
from flask import Flask

from protoo_flask import Protoo, Router
from protoo_flask.core.errors import RegistrationClosed, UsageError
from protoo_flask.middleware import ice_servers, p2p_messenger, presence, session_handler

from .fakes import FakeScheduler
from .joining import join, make_app
from .servers.processes import DEADLINE, run

TWO_WAYS = (
    r"Either register when the module is imported, and only call protoo.init_app\(app\) in the "
    r"app factory; or make the Protoo in the app factory, with protoo = Protoo\(app\)"
)
AGAIN = rf"{__file__}:\d+ has registered the same before, for another app. .*{TWO_WAYS}"


def request(app, method="get", path="/echo"):
    """Send a request as a client of an app; returns the status of the response."""
    inbox = join(app)
    inbox.receive(b'{"method": "%s", "path": "%s", "id": 1}' % (method.encode(), path.encode()))
    status = inbox.peer.link.take()["status"]
    app.extensions["protoo"].close()
    return status


# Registrations in an app factory on a Protoo outside of it ---------------------------


def decorate(protoo):
    @protoo.message("/echo")
    def echo(req, next):
        req.reply(200)


def decorate_without_a_path(protoo):
    @protoo.use()
    def log(req, next):
        next()


def decorate_without_parentheses(protoo):
    @protoo.use
    def log(req, next):
        next()


def call(protoo):
    protoo.get("/echo", lambda req, next: req.reply(200))


def call_with_a_list_of_paths(protoo):
    protoo.get(["/echo", "/say"], lambda req, next: req.reply(200))


def mount_middleware(protoo):
    protoo.use("/users", p2p_messenger(protoo))


def mount_middleware_with_listeners(protoo):
    protoo.use("/users", session_handler(protoo))


def mount_middleware_with_a_function(protoo):
    protoo.use("/presence", presence(protoo, allow=lambda peer, username: True))


def mount_a_router(protoo):
    router = Router()
    protoo.use("/users", router)
    router.get("/", deliver)


def chain_a_route(protoo):
    protoo.route("/echo").get(lambda req, next: req.reply(200))


def register_for_any_other_method(protoo):
    protoo.method("wave", "/echo", lambda req, next: req.reply(200))


def handle_errors(protoo):
    @protoo.errorhandler(KeyError)
    def handle(error, req, next):
        req.reply(404)


def handle_a_param(protoo):
    @protoo.param("name")
    def check(req, next, value):
        next()


def listen(protoo):
    @protoo.on("online")
    def online(peer): ...


def authorize(protoo):
    @protoo.authorize
    def authorize(): ...


def register_a_method_of_an_object(protoo):
    class Chat:
        def say(self, req, next): ...

    protoo.get("/echo", Chat().say)


def register_an_object(protoo):
    class Say:
        def __call__(self, req, next): ...

    protoo.get("/echo", Say())


def register_a_partial(protoo):
    protoo.get("/echo", functools.partial(lambda room, req, next: None, "lobby"))


def register_a_function_of_the_module(protoo):
    protoo.get("/echo", deliver)


def deliver(req, next): ...


REGISTRATIONS = [
    decorate,
    decorate_without_a_path,
    decorate_without_parentheses,
    call,
    call_with_a_list_of_paths,
    mount_middleware,
    mount_middleware_with_listeners,
    mount_middleware_with_a_function,
    mount_a_router,
    chain_a_route,
    register_for_any_other_method,
    handle_errors,
    handle_a_param,
    listen,
    authorize,
    register_a_method_of_an_object,
    register_an_object,
    register_a_partial,
    register_a_function_of_the_module,
]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("register", REGISTRATIONS, ids=lambda register: register.__name__)
def test_a_factory_that_registers_on_a_protoo_outside_of_it_is_refused_at_its_second_run(
    register, when
):
    protoo = Protoo()

    def create_app():
        app = make_app()
        if when == "before":
            register(protoo)
        protoo.init_app(app)
        if when == "after":
            register(protoo)
        return app

    create_app()
    with pytest.raises(UsageError, match=AGAIN):
        create_app()


def test_a_router_and_a_route_outside_of_the_factory_are_like_the_protoo():
    for register in (
        lambda router, route: router.message("/echo", deliver),
        lambda router, route: route.message(deliver),
        lambda router, route: router.route("/x").message(deliver),
    ):
        protoo, router = Protoo(), Router()
        protoo.use("/users", router)
        route = protoo.route("/echo")
        protoo.init_app(make_app())
        register(router, route)
        protoo.init_app(make_app())
        with pytest.raises(UsageError, match=AGAIN):
            register(router, route)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_router_of_a_module_is_shared_by_the_protoos_of_all_apps(when):
    router = Router()

    def create_app():
        protoo = Protoo(make_app())
        if when == "before":
            router.get("/echo", deliver)
        protoo.use(router)
        if when == "after":
            router.get("/echo", deliver)

    create_app()
    with pytest.raises(UsageError, match=AGAIN):
        create_app()


def test_what_is_refused_is_not_registered():
    protoo = Protoo()
    for _ in range(2):
        protoo.init_app(make_app())
        try:
            listen(protoo)
            call(protoo)
        except UsageError:
            pass
    assert len(protoo.router.layers()) == 1
    assert {name: len(found) for name, found in protoo.listeners.items()} == {"peer_online": 1}


@pytest.mark.parametrize(
    "register", [register for register in REGISTRATIONS if register not in (listen, authorize)]
)
def test_after_the_first_connection_the_error_names_the_two_ways_too(register):
    protoo = Protoo()
    app = make_app()
    protoo.init_app(app)
    join(app)
    protoo.close()
    protoo.init_app(make_app())
    with pytest.raises(RegistrationClosed, match=f"before the first connection.*{TWO_WAYS}"):
        register(protoo)


# Registrations that only look alike --------------------------------------------------


def test_a_loop_may_register_many_functions_for_one_app():
    protoo = Protoo()
    protoo.init_app(make_app())
    for _ in range(3):
        protoo.use(deliver)
        protoo.on("online", lambda peer: None)
    assert len(protoo.router.layers()) == 3


def test_a_router_may_be_mounted_at_several_paths():
    protoo, router = Protoo(), Router()
    for path in ("/a", "/b"):
        protoo.use(path, router)
        router.get(path, deliver)
    assert len(router.layers()) == 2


def test_routers_may_be_mounted_in_each_other():
    protoo, router = Protoo(), Router()
    protoo.use("/a", router)
    router.use("/b", router)
    protoo.init_app(make_app())
    protoo.use("/c", router)


def test_two_apps_may_share_a_protoo_with_registrations_before_between_and_after():
    protoo = Protoo()
    first, second = make_app(), make_app()
    protoo.get("/a", deliver)
    protoo.init_app(first)
    protoo.get("/b", deliver)
    protoo.use(deliver)
    protoo.init_app(second)
    protoo.get("/b", deliver)  # on a line of its own: meant so
    protoo.use(deliver)
    assert len(protoo.router.layers()) == 5


def test_one_line_may_register_different_things_for_different_apps():
    protoo = Protoo()

    def add(app, path, function, event="online"):
        protoo.init_app(app)
        protoo.message(path, function)
        protoo.on(event, lambda peer: None)

    def make_guard(role):
        def guard(req, next):
            req.reply(200 if role else 403)

        return guard

    add(make_app(), "/a", deliver)
    add(make_app(), "/b", deliver, "offline")
    add(make_app(), "/a", lambda req, next: next(), "disconnect")
    add(make_app(), "/a", make_guard("admin"), "reconnect")
    with pytest.raises(UsageError, match=AGAIN):
        add(make_app(), "/a", make_guard("admin"))


def test_one_line_may_mount_different_routers_for_different_apps():
    protoo = Protoo()
    empty = Router()
    also_empty = Router()
    for router in (
        empty,
        also_empty,
        p2p_messenger(protoo),
        ice_servers(protoo),
    ):
        protoo.init_app(make_app())
        protoo.use("/x", router)
    assert len(protoo.router.layers()) == 4


# The right ways ----------------------------------------------------------------------


def test_a_protoo_of_a_module_serves_every_app_that_a_factory_makes():
    protoo = Protoo()
    for register in (mount_middleware_with_listeners, listen, handle_errors):
        register(protoo)
    protoo.get("/echo", lambda req, next: req.reply(200))

    def create_app():
        app = make_app()
        protoo.init_app(app)
        return app

    assert [request(create_app()) for _ in range(3)] == [200, 200, 200]


def test_a_factory_may_make_the_protoo_and_mount_routers_of_modules_like_blueprints():
    router = Router()
    router.get("/:word", lambda req, next: req.reply(200))

    def create_app():
        app = make_app()
        protoo = Protoo(app)
        for register in (mount_middleware_with_listeners, listen, authorize, decorate):
            register(protoo)
        protoo.use(router)
        return app

    assert [request(create_app()) for _ in range(3)] == [200, 200, 200]


@pytest.mark.parametrize("shared", ["protoo", "router"])
def test_apps_that_share_routers_cannot_have_different_settings_of_paths(caplog, shared):
    protoo, router = Protoo(), Router()
    router.get("/Echo", lambda req, next: req.reply(200))
    protoo.use(router)

    def create_app(**config):
        app = make_app()
        app.config.update(config)
        if shared == "protoo":
            protoo.init_app(app)
        else:
            Protoo(app).use(router)
        return app

    assert request(create_app()) == 200
    assert request(create_app()) == 200
    assert caplog.records == []
    app = create_app(PROTOO_CASE_SENSITIVE_ROUTING=True)
    app.test_cli_runner().invoke(args=["protoo", "routes"])
    assert request(app) == 200
    (first, *_) = caplog.records
    assert first.getMessage().startswith(
        "PROTOO_CASE_SENSITIVE_ROUTING and PROTOO_STRICT_ROUTING of this app are ignored"
    )


# Peers, when apps come and go ---------------------------------------------------------


def test_an_app_that_is_dropped_is_forgotten_with_everything_of_it():
    protoo = Protoo()
    mount_middleware_with_listeners(protoo)
    mount_middleware_with_a_function(protoo)
    app = make_app()
    protoo.init_app(app)
    scheduler = FakeScheduler()
    app.extensions["protoo"].open(scheduler)
    request(app, "subscribe", "/presence/bob")
    dropped = weakref.ref(app)
    del app
    gc.collect()
    assert dropped() is None
    scheduler.advance(1000)


def test_dropped_apps_do_not_count_although_python_has_not_deleted_them():
    protoo = Protoo()
    gc.disable()
    try:
        for _ in range(3):
            app = make_app()
            protoo.init_app(app)
            alice = join(app).peer
            assert protoo.peers() == [alice]
            alice.close()
    finally:
        gc.enable()


def test_closed_apps_do_not_count_although_somebody_keeps_them():
    protoo = Protoo()
    kept = []
    for _ in range(3):
        app = make_app()
        kept.append(app)
        protoo.init_app(app)
        alice = join(app).peer
        assert protoo.peers() == [alice]
        protoo.close()
    assert protoo.peers() == []


def test_several_apps_in_use_are_named():
    protoo = Protoo()
    apps = [make_app("chat"), make_app("shop")]
    for app in apps:
        protoo.init_app(app)
    with pytest.raises(
        UsageError,
        match=r"serves several apps \(<Flask 'chat'>, <Flask 'shop'>\).*inside a handler or a "
        r"view, or inside `with app.app_context\(\):`",
    ):
        protoo.peers()
    for app in apps:
        with app.app_context():
            assert protoo.peers() == []


def test_in_a_view_and_in_a_handler_the_peers_are_those_of_the_app():
    protoo = Protoo()
    protoo.get("/count", lambda req, next: req.reply(200, "", {"count": len(protoo.peers())}))
    for _ in range(2):
        app = make_app()
        protoo.init_app(app)
        app.add_url_rule("/peers", "peers", lambda: str(len(protoo.peers())))
        keep_alive = Flask("other")
        protoo.init_app(keep_alive)
        inbox = join(app)
        inbox.receive(b'{"method": "get", "path": "/count", "id": 1}')
        assert inbox.peer.link.take()["data"] == {"count": 1}
        assert app.test_client().get("/peers").data == b"1"
        app.extensions["protoo"].close()


# A whole test suite ------------------------------------------------------------------

SITE = """
    from flask import Flask, request
    from protoo_flask import Protoo
    from protoo_flask.middleware import p2p_messenger, presence, session_handler

    protoo = Protoo()
    protoo.use("/users", session_handler(protoo))
    protoo.use("/users", p2p_messenger(protoo))
    protoo.use("/presence", presence(protoo, lambda peer, username: True))

    @protoo.authorize
    def authorize():
        return request.args["username"], "a1"

    @protoo.get("/echo")
    def echo(req, next):
        req.reply(200, "OK", req.data)

    def create_app():
        app = Flask(__name__)
        app.secret_key = "secret"
        app.config["PROTOO_DISCONNECT_GRACE_PERIOD"] = 60
        protoo.init_app(app)
        app.add_url_rule("/peers", "peers", lambda: str(len(protoo.peers())))
        return app
"""

SUITE = """
    {patch}
    import gc, threading, time, weakref
    import pytest
    from site_with_chat import create_app, protoo
    from tests.servers.clients import Site, eventually

    ALIVE = weakref.WeakSet()

    @pytest.fixture
    def app():
        app = create_app()
        ALIVE.add(app)
        return app

    @pytest.fixture
    def site(app):
        server = {make_server}
        threading.Thread(target=server.serve_forever).start()
        yield Site(server.server_port)
        server.{stop}()
        with app.app_context():
            protoo.close()

    @pytest.mark.parametrize("number", range(3))
    def test_peers(app, site, number):
        with site.connect_with("?username=alice") as a, site.connect_with("?username=bob") as b:
            assert a.request("get", "/echo", {{"n": number}})["data"] == {{"n": number}}
            assert a.request("subscribe", "/presence/bob")["data"]["online"] is True
            a.start("message", "/users/bob", {{}})
            b.respond(b.expect("message"), 200)
            assert a.receive()["status"] == 200
            assert sorted(peer.username for peer in protoo.peers()) == ["alice", "bob"]
            assert site.get("/peers") == "2"
            with app.app_context():
                assert len(protoo.peers()) == 2
            if number % 2:
                assert protoo.disconnect("alice") == 1
                assert a.wait_for_close()[0] == 3001
            b.connection.socket.shutdown(2)

    def test_without_a_connection(app):
        assert protoo.peers() == []
        assert app.test_client().get("/peers").data == b"0"

    def count_apps():
        time.sleep(0)  # lets the server end its connections, where it is in the same thread
        gc.collect()
        return len(ALIVE)

    def test_no_app_is_kept():
        eventually(count_apps, 0)
"""

SERVERS = {
    "flask-run": {
        "patch": "from werkzeug.serving import make_server",
        "make_server": "make_server('127.0.0.1', 0, app, threaded=True)",
        "stop": "shutdown",
    },
    "pywsgi": {
        "patch": "from gevent import monkey; monkey.patch_all()\n"
        "    from gevent.pywsgi import WSGIServer",
        "make_server": "WSGIServer(('127.0.0.1', 0), app, log=None); server.start()",
        "stop": "stop",
    },
}


@pytest.mark.parametrize("server", SERVERS)
def test_a_test_suite_may_make_an_app_for_each_test(tmp_path, server):
    suite = SUITE.format(**SERVERS[server])
    (tmp_path / "site_with_chat.py").write_text(textwrap.dedent(SITE))
    (tmp_path / "test_site.py").write_text(textwrap.dedent(suite))
    arguments = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "test_site.py"]
    process = run(f"pytest on {server}", arguments, cwd=tmp_path)
    try:
        assert process.process.wait(DEADLINE * 3) == 0, process.output()
    finally:
        process.stop()
    assert "5 passed" in process.output()
