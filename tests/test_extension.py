"""Protoo, the extension: its apps, the registration of handlers, and its peers."""

from __future__ import annotations

import threading
from uuid import uuid4

import pytest
from flask import url_for
from markupsafe import Markup

from protoo_flask import Protoo, Reject, Request
from protoo_flask.core.errors import RegistrationClosed, UsageError
from protoo_flask.core.routing.methods import MethodDecorators
from protoo_flask.site import service as service_module

from .fakes import FakeScheduler
from .joining import join, make_app


def connect(app, username="alice", uuid="a1"):
    return join(app, username, uuid).peer


# Apps -------------------------------------------------------------------------------


def test_an_app_is_given_at_once_or_later():
    first, second = make_app(), make_app()
    one = Protoo(first)
    two = Protoo()
    two.init_app(second)

    assert first.extensions["protoo"].protoo is one
    assert second.extensions["protoo"].protoo is two


@pytest.mark.parametrize("same", [True, False])
def test_an_app_has_one_protoo(same):
    app = make_app()
    protoo = Protoo(app)

    with pytest.raises(UsageError, match="<Flask 'site'> has a Protoo already; an app has one"):
        (protoo if same else Protoo()).init_app(app)


def test_the_path_is_a_setting():
    app = make_app()
    Protoo(app, path="/chat/ws")
    client = app.test_client()

    assert client.get("/chat/ws").status_code == 403
    with client.get("/chat/ws/protoo.js") as script:
        assert script.status_code == 200
    assert client.get("/protoo").status_code == 404
    with app.test_request_context():
        assert url_for("protoo.static", filename="protoo.mjs") == "/chat/ws/protoo.mjs"


def test_under_a_server_without_sockets_a_handshake_names_servers_that_have_them(caplog):
    app = make_app()
    protoo = Protoo(app)
    protoo.authorize(lambda: ("alice", "a1"))
    headers = {
        "Connection": "keep-alive, Upgrade",
        "Upgrade": "WebSocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Protocol": "protoo",
    }

    answer = app.test_client().get("/protoo", headers=headers)

    assert answer.status_code == 500
    assert b"gunicorn with --worker-class gevent" in answer.data
    assert protoo.peers() == []


def test_a_closed_protoo_takes_nobody_in():
    app = make_app()
    protoo = Protoo(app)
    peer = connect(app)
    link = peer.link

    protoo.close()

    assert link.closed == (1001, "shutting down")
    assert protoo.peers() == []
    answer = app.test_client().get("/protoo")
    assert (answer.status_code, answer.data) == (503, b"shutting down")


# Registration -----------------------------------------------------------------------


def test_there_is_one_authorizer():
    protoo = Protoo()

    @protoo.authorize
    def authorize():
        """Not changed by the decorator."""

    assert protoo.authorizer is authorize
    line = authorize.__code__.co_firstlineno
    name = rf"{__name__}\.\w+\.authorize \({__file__}:{line}\)"
    with pytest.raises(UsageError, match=rf"@protoo.authorize was given {name} already"):
        protoo.authorize(lambda: None)


def test_an_authorizer_is_a_plain_function():
    async def authorize():
        """Nobody would await it."""

    for function in (None, "alice", authorize):
        with pytest.raises(UsageError):
            Protoo().authorize(function)


def test_registrations_go_to_the_router():
    protoo = Protoo()
    ran = []

    def step(name):
        return lambda req, next: (ran.append(name), next())

    protoo.use(step("use"))
    protoo.all("/", step("all"))
    protoo.get("/", step("get"))
    protoo.message("/", step("message"))
    protoo.method("wave", "/", step("wave"))
    protoo.route("/").get(step("route"))
    protoo.param("name", lambda req, next, value: (ran.append(value), next()))
    protoo.get("/:name?", step("param"))

    @protoo.errorhandler
    def handle(error, req, next):
        ran.append("error")

    app = make_app()
    protoo.init_app(app)
    app.extensions["protoo"].open(FakeScheduler())
    protoo.router(Request("get"), lambda error=None: ran.append("final"))

    assert ran == ["use", "all", "get", "route", "param", "final"]


def test_every_verb_is_there():
    verbs = ["message", "put", "get", "session", "icecandidate", "update", "hold", "unhold", "end"]
    protoo = Protoo()

    def handle(req, next):
        """Not changed by the decorator."""

    for verb in verbs:
        assert hasattr(MethodDecorators, verb)
        assert getattr(protoo, verb)("/")(handle) is handle


def test_routers_inherit_the_settings_of_the_app():
    app = make_app()
    protoo = Protoo(app, case_sensitive_routing=True)
    ran = []
    inherits, differs = protoo.Router(), protoo.Router(case_sensitive=False)
    inherits.get("/Path", lambda req, next: (ran.append("inherits"), next()))
    differs.get("/Path", lambda req, next: (ran.append("differs"), next()))
    protoo.use(inherits, differs)
    app.extensions["protoo"].open(FakeScheduler())
    for path in ("/Path", "/path"):
        request = Request("get")
        request.path = path
        protoo.router(request, lambda error=None: None)

    assert ran == ["inherits", "differs", "differs"]


def test_registration_closes_at_the_first_connection():
    app = make_app()
    protoo = Protoo(app)
    connect(app)

    for register in (
        lambda: protoo.use(print),
        lambda: protoo.get("/", print),
        lambda: protoo.errorhandler(print),
        lambda: protoo.param("name", print),
        lambda: protoo.route("/"),
    ):
        with pytest.raises(RegistrationClosed, match="before the first connection"):
            register()
    protoo.close()


def test_the_first_two_clients_may_come_at_once(monkeypatch):
    app = make_app()
    site = Protoo(app) and app.extensions["protoo"]
    opened = []
    second = threading.Thread(target=lambda: opened.append(site.open(FakeScheduler())))

    class SlowApplication(service_module.Application):
        def __init__(self, *args, **options):
            if not opened and second.ident is None:
                # While the first is being made, another thread asks for one as well.
                second.start()
                second.join(0.2)
            super().__init__(*args, **options)

    monkeypatch.setattr(service_module, "Application", SlowApplication)
    opened.append(site.open(FakeScheduler()))
    second.join()

    assert len(opened) == 2
    assert opened[0] is opened[1]


# Peers ------------------------------------------------------------------------------


def test_before_the_first_connection_there_are_no_peers():
    protoo = Protoo(make_app())

    assert protoo.peers() == []
    assert protoo.peer("alice", "a1") is None
    assert protoo.disconnect("alice") == 0


def test_peers_are_found_by_user_and_by_device():
    app = make_app()
    protoo = Protoo(app)
    a1, a2, b1 = connect(app), connect(app, uuid="a2"), connect(app, "bob", "b1")

    assert protoo.peers() == [a1, a2, b1]
    assert protoo.peers("alice") == [a1, a2]
    assert protoo.peers("alice", "a2") == [a2]
    assert protoo.peers(uuid="b1") == [b1]
    assert protoo.peers("carol") == []
    assert protoo.peer("bob", "b1") is b1
    assert protoo.peer("bob", "a1") is None

    links = [peer.link for peer in (a1, a2, b1)]
    assert protoo.disconnect("alice", "a2") == 1
    assert protoo.disconnect("alice", code=4000, reason="bye") == 1
    assert [link.closed for link in links] == [
        (4000, "bye"),
        (3001, "authorization revoked"),
        None,
    ]
    protoo.close()


@pytest.mark.parametrize("name", [7, "7", Markup("7")], ids=repr)
def test_peers_are_found_by_the_ids_of_a_database(name):
    app = make_app()
    protoo = Protoo(app)
    peer, other = connect(app, "7", "5"), connect(app, "8", "5")

    assert protoo.peers(name) == protoo.peers(name, 5) == [peer]
    assert protoo.peers(uuid=5) == [peer, other]
    assert protoo.peer(name, 5) is peer
    link = peer.link
    assert protoo.disconnect(name, 6) == 0
    assert protoo.disconnect(name, 5) == 1
    assert link.closed == (3001, "authorization revoked")
    assert protoo.peers() == [other]
    assert protoo.disconnect(8) == 1
    protoo.close()


def test_a_uuid_object_is_a_name_too():
    app = make_app()
    protoo = Protoo(app)
    device = uuid4()
    peer = connect(app, "7", str(device))

    assert protoo.peers(7, device) == [peer]
    assert protoo.peer(7, device) is peer
    assert protoo.disconnect(7, device) == 1
    protoo.close()


@pytest.mark.parametrize("is_serving", [False, True])
@pytest.mark.parametrize("name", [True, b"alice", 7.0, ["alice"], object()], ids=repr)
def test_a_name_of_another_type_is_refused_everywhere(name, is_serving):
    app = make_app()
    protoo = Protoo(app)
    if is_serving:
        connect(app)

    for call in (
        lambda: protoo.peers(name),
        lambda: protoo.peers("alice", name),
        lambda: protoo.peer(name, "a1"),
        lambda: protoo.peer("alice", name),
        lambda: protoo.disconnect(name),
        lambda: protoo.disconnect("alice", name),
    ):
        with pytest.raises(UsageError, match="takes a string, not") as caught:
            call()
        assert isinstance(caught.value, TypeError)
    assert len(protoo.peers()) == is_serving
    protoo.close()


def test_nobody_in_particular_is_refused_where_one_is_meant():
    app = make_app()
    protoo = Protoo(app)
    peer = connect(app)

    for call in (
        lambda: protoo.disconnect(None),
        lambda: protoo.peer(None, "a1"),
        lambda: protoo.peer("alice", None),
    ):
        with pytest.raises(UsageError, match="takes a string, not None"):
            call()
    assert protoo.peers() == protoo.peers(None, None) == [peer]
    protoo.close()


def test_a_protoo_without_an_app_says_so():
    protoo = Protoo()

    for ask in (protoo.peers, lambda: protoo.peer("a", "b"), protoo.close):
        with pytest.raises(UsageError, match="this Protoo has no app yet"):
            ask()


def test_a_protoo_with_several_apps_must_know_which_one_is_meant():
    protoo = Protoo()
    first, second, stranger = make_app(), make_app(), make_app()
    protoo.init_app(first)
    protoo.init_app(second)
    Protoo(stranger)
    alice, bob = connect(first, "alice"), connect(second, "bob")

    with pytest.raises(UsageError, match="several apps"):
        protoo.peers()
    with stranger.app_context(), pytest.raises(UsageError, match="several apps"):
        protoo.peers()
    with first.app_context():
        assert protoo.peers() == [alice]
        assert protoo.disconnect("bob") == 0
    with second.app_context():
        assert protoo.peers() == [bob]
        protoo.close()
    with first.app_context():
        assert protoo.peers() == [alice]
        protoo.close()


def test_a_protoo_with_one_app_needs_no_context_and_is_not_confused_by_anothers():
    app, stranger = make_app(), make_app()
    protoo = Protoo(app)
    Protoo(stranger)
    alice = connect(app)

    with stranger.app_context():
        assert protoo.peers() == [alice]
    protoo.close()


def test_a_protoo_with_several_apps_cannot_be_run():
    protoo = Protoo()
    apps = [make_app(), make_app()]
    for app in apps:
        protoo.init_app(app)

    with pytest.raises(UsageError, match="run one of them"):
        protoo.run()


def test_a_refusal_may_have_no_reason():
    app = make_app()
    protoo = Protoo(app)

    @protoo.authorize
    def authorize():
        raise Reject(410)

    answer = app.test_client().get("/protoo")

    assert (answer.status_code, answer.data) == (410, b"refused")


@pytest.mark.parametrize("app", [__name__, "site", 5])
def test_anything_but_a_flask_app_is_refused(app):
    with pytest.raises(UsageError, match="take a Flask app, not"):
        Protoo(app)


# Services ---------------------------------------------------------------------------


def test_the_services_of_a_protoo_have_names_in_the_order_of_registration():
    protoo = Protoo()
    first, second, third = object(), object(), object()

    names = [
        protoo.add_service("calls", first),
        protoo.add_service("rooms", second),
        protoo.add_service("calls", third),
    ]

    assert names == ["calls", "rooms", "calls-2"]
    assert protoo.services == {"calls": first, "rooms": second, "calls-2": third}
