"""Each check, in both directions: by the real command, on a site that has one fault."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import pytest
from flask import Flask

from protoo_flask import Protoo
from protoo_flask.check.checks import CHECKS
from protoo_flask.check.findings import KINDS, LEVELS
from protoo_flask.check.gunicorn import Gunicorn
from protoo_flask.check.secret_checks import find_fault
from protoo_flask.check.server_checks import check_descriptors, check_restarts
from protoo_flask.check.settings_checks import check_compression
from protoo_flask.check.subject import Subject
from protoo_flask.settings import Settings
from protoo_flask.transport.descriptors import find_limit

from .projects import GUNICORN


class Case(NamedTuple):
    """A site that differs in one thing from the one without findings.

    :ivar code: the only finding; "" if there must be none.
    """

    id: str
    code: str
    lines: str = ""
    gunicorn: str = ""
    environ: dict[str, str] = {}
    after: str = ""
    procfile: str = ""
    arguments: tuple[str, ...] = ()


def config(**values):
    return f"app.config.update(**{values!r})"


CONFIG = "app.config.update"
TURN = {"urls": "turn:turn.example.org"}
LOGIN = "import flask_login; flask_login.LoginManager(app)"
LATIN_KEY = "0123456789abcdef"
PLAIN = "app.wsgi_app = app.wsgi_app.app"  # without its ProxyFix
OWN_SESSIONS = """
from flask.sessions import SessionInterface, SessionMixin
class Kept(dict, SessionMixin): pass
class OnServer(SessionInterface):
    def open_session(self, app, request): return Kept()
    def save_session(self, app, session, response): pass
app.session_interface = OnServer()
"""
HOUR, DAY = 3600, 86400

CASES = [
    Case("a site that is ready", ""),
    # settings
    Case("a misspelled setting", "setting-unknown", config(PROTOO_PING_INTERVALL=10)),
    Case("a setting of another package", "setting-unknown", config(PROTOO_MESSAGE_QUEUE="x")),
    Case(
        "a setting in the environment",
        "setting-only-in-environment",
        environ={"PROTOO_MAX_OUTBOX": "9"},
    ),
    Case(
        "a setting that the site takes from the environment",
        "",
        'app.config["PROTOO_MAX_OUTBOX"] = int(os.environ["PROTOO_MAX_OUTBOX"])',
        environ={"PROTOO_MAX_OUTBOX": "9999"},
    ),
    Case("a value that cannot work", "setting-refused", config(PROTOO_MAX_OUTBOX="many")),
    Case(
        "a value that cannot work, set late",
        "setting-refused",
        after=config(PROTOO_MAX_OUTBOX="many"),
    ),
    Case(
        "a cluster without the packages",
        "setting-refused",
        'sys.modules["redis"] = None; ' + config(PROTOO_CLUSTER_URL="redis://localhost/0"),
    ),
    Case("debug", "debug", "app.debug = True"),
    Case("debug of the environment", "debug", environ={"FLASK_DEBUG": "1"}),
    Case("testing", "testing", "app.testing = True"),
    Case("no time-out of handlers", "limit-off", config(PROTOO_RESPONSE_TIMEOUT=None)),
    Case("no limit of handshakes", "limit-off", config(PROTOO_HANDSHAKES_PER_USER=None)),
    Case("compression", "compression-memory", config(PROTOO_COMPRESSION=True)),
    Case(
        "compression for a few",
        "",
        config(PROTOO_COMPRESSION=True),
        arguments=("--peers", "10"),
    ),
    # the server
    Case("sync workers", "worker-class", gunicorn='worker_class = "sync"'),
    Case("sync workers by default", "worker-class", gunicorn="del worker_class"),
    Case("threads", "worker-class", gunicorn='worker_class = "sync"; threads = 4'),
    Case("gthread", "worker-class", gunicorn='worker_class = "gthread"'),
    Case("an unknown worker", "worker-class", gunicorn='worker_class = "nonsense"'),
    Case("a derived worker", "", gunicorn=(
        "with open('mine.py', 'w') as file:\n"
        "    file.write('from gunicorn.workers.ggevent import GeventWorker as Base\\n')\n"
        "    file.write('class Worker(Base): pass')\n"
        "worker_class = 'mine.Worker'"
    )),
    Case("a dotted worker", "", gunicorn='worker_class = "gunicorn.workers.ggevent.GeventWorker"'),
    Case("two workers", "workers-without-cluster", gunicorn="workers = 2"),
    Case("workers of an option", "workers-without-cluster", environ={
        "GUNICORN_CMD_ARGS": "-w 2"
    }),
    Case("workers of a Procfile", "workers-without-cluster", procfile=(
        "release: flask db upgrade\nweb: FOO=1 gunicorn -w ${WORKERS:-2} -b 0.0.0.0:$PORT app:app"
    )),
    Case("one worker in spite of WEB_CONCURRENCY", "", environ={"WEB_CONCURRENCY": "4"}),
    Case(
        "workers of WEB_CONCURRENCY",
        "workers-without-cluster",
        gunicorn="del workers",
        environ={"WEB_CONCURRENCY": "4"},
    ),
    Case("preload", "preload-unpatched", gunicorn="preload_app = True"),
    Case("preload, patched", "", gunicorn=(
        "from gevent import monkey; monkey.patch_all(); preload_app = True"
    )),
    Case("TLS in gunicorn", "tls-in-process", gunicorn='certfile = "x.pem"'),
    Case("a long keepalive", "keepalive-delays-restart", gunicorn="keepalive = 30"),
    Case("a keepalive below the limit", "", gunicorn="keepalive = 29"),
    Case("more peers than descriptors", "descriptors", arguments=("--peers", "9999999999")),
    Case("few peers", "", arguments=("--peers", "10")),
    Case("a configuration that fails", "gunicorn-unreadable", gunicorn="1 / 0"),
    # databases
    Case("mysqlclient by default", "driver-blocks", config(SQLALCHEMY_DATABASE_URI="mysql://x/y")),
    Case("PyMySQL", "", config(SQLALCHEMY_DATABASE_URI="mysql+pymysql://x/y")),
    Case("psycopg2", "driver-blocks", config(SQLALCHEMY_BINDS={"a": "postgresql://x/y"})),
    Case("psycopg2 with psycogreen", "", config(SQLALCHEMY_BINDS={"a": "postgresql://x/y"}), (
        "def post_fork(server, worker):\n    from psycogreen.gevent import patch_psycopg"
    )),
    Case("psycopg 3", "", config(SQLALCHEMY_DATABASE_URI="postgresql+psycopg://x/y")),
    Case("a driver that was imported", "driver-blocks", (
        'import types; sys.modules["MySQLdb"] = types.ModuleType("MySQLdb")'
    )),
    Case("SQLite", "sqlite-blocks", config(SQLALCHEMY_DATABASE_URI="sqlite:///x.db")),
    # the proxy and other pages
    Case("a proxy that nobody has told", "proxy-unknown", PLAIN),
    Case("no proxy", "", PLAIN, 'bind = "0.0.0.0:8000"'),
    Case("https by a proxy", "proxy-unknown", PLAIN + "; " + config(PREFERRED_URL_SCHEME="https"),
         'bind = "0.0.0.0:8000"'),
    Case("a proxy of the environment", "proxy-unknown", PLAIN, 'bind = "0.0.0.0:8000"',
         {"FORWARDED_ALLOW_IPS": "10.0.0.1"}),
    Case("a proxy that gunicorn believes", "proxy-unknown", PLAIN, (
        'bind = "0.0.0.0:8000"; forwarded_allow_ips = "10.0.0.1,127.0.0.1"'
    )),
    Case("ProxyFix below another layer", "", (
        "class Layer:\n    def __init__(self, app): self.app = app\n"
        "    def __call__(self, *args): return self.app(*args)\n"
        "app.wsgi_app = Layer(app.wsgi_app)"
    )),
    Case("addresses", "", config(PROTOO_HANDSHAKES_PER_ADDRESS=5)),
    Case("addresses of the proxy", "addresses-of-proxy", (
        "app.wsgi_app.x_for = 0; " + config(PROTOO_HANDSHAKES_PER_ADDRESS=5)
    )),
    Case("connections of the proxy", "addresses-of-proxy", (
        "app.wsgi_app.x_for = 0; " + config(PROTOO_MAX_CONNECTIONS_PER_ADDRESS=5)
    )),
    Case("rare pings", "pings-too-rare", config(PROTOO_PING_INTERVAL=60)),
    Case("pings in time", "", config(PROTOO_PING_INTERVAL=59)),
    Case("all origins", "origins-all", config(PROTOO_ALLOWED_ORIGINS="*")),
    Case("another origin", "", config(PROTOO_ALLOWED_ORIGINS=["https://partner.example"])),
    Case("files", "origin-of-anybody", config(PROTOO_ALLOWED_ORIGINS=["file://"])),
    Case("nobody's origin", "origin-of-anybody", config(PROTOO_ALLOWED_ORIGINS=["null"])),
    Case("http", "origin-without-tls", config(PROTOO_ALLOWED_ORIGINS=["http://partner.example"])),
    Case("an application", "", config(PROTOO_ALLOWED_ORIGINS=["http://localhost:8100"])),
    # secrets
    Case("no key", "secret-key-missing", config(SECRET_KEY=None)),
    Case("no key, and sessions on the server", "", OWN_SESSIONS + config(SECRET_KEY=None)),
    Case("an example", "secret-key-weak", config(SECRET_KEY="change me")),
    Case("a key of Flask's documentation", "secret-key-weak", config(
        SECRET_KEY="192b9bdd22ab9ed4d12e236c78afcb9a393ec15f71bbf5dc987d54727823bcbf"
    )),
    Case("an old key", "secret-key-weak", config(SECRET_KEY_FALLBACKS=["dev"])),
    Case("a key of bytes", "", config(SECRET_KEY=LATIN_KEY.encode())),
    Case("a weak key of TURN", "turn-secret-weak", config(
        PROTOO_TURN_SECRET="turn", PROTOO_ICE_SERVERS=[TURN]
    )),
    Case("a key of TURN", "", config(PROTOO_TURN_SECRET=LATIN_KEY, PROTOO_ICE_SERVERS=[TURN])),
    Case("a password of TURN", "turn-password", config(
        PROTOO_ICE_SERVERS=[{**TURN, "username": "a", "credential": "b"}]
    )),
    # sessions
    Case("a cookie without TLS", "cookie-not-secure", config(SESSION_COOKIE_SECURE=False)),
    Case("a cookie for scripts", "cookie-readable", config(SESSION_COOKIE_HTTPONLY=False)),
    Case("SameSite=None", "cookie-samesite-none", config(SESSION_COOKIE_SAMESITE="None")),
    Case("no SameSite", "cookie-samesite-missing", config(SESSION_COOKIE_SAMESITE=None)),
    Case("remember me, without TLS", "cookie-not-secure", (
        LOGIN + "; " + config(REMEMBER_COOKIE_SAMESITE="Lax")
    )),
    Case("remember me, without SameSite", "cookie-samesite-missing", (
        LOGIN + "; " + config(REMEMBER_COOKIE_SECURE=True)
    )),
    Case("remember me, for scripts", "cookie-readable", LOGIN + "; " + config(
        REMEMBER_COOKIE_SECURE=True, REMEMBER_COOKIE_SAMESITE="Lax", REMEMBER_COOKIE_HTTPONLY=False
    )),
    Case("a safe remember me", "", LOGIN + "; " + config(
        REMEMBER_COOKIE_SECURE=True, REMEMBER_COOKIE_SAMESITE="Lax"
    )),
    Case("short sessions", "connections-outlive-sessions", config(
        PERMANENT_SESSION_LIFETIME=DAY - 1
    )),
    Case("sessions of a day", "", config(PERMANENT_SESSION_LIFETIME=DAY)),
    Case("sessions that cut", "sessions-cut-connections", config(
        PERMANENT_SESSION_LIFETIME=HOUR, PROTOO_REAUTHORIZE_INTERVAL=60
    )),
    Case("sessions on the server that cut", "sessions-cut-connections", OWN_SESSIONS + config(
        PERMANENT_SESSION_LIFETIME=HOUR, PROTOO_REAUTHORIZE_INTERVAL=60
    )),
    Case("sessions that are long enough", "", config(
        PERMANENT_SESSION_LIFETIME=HOUR + 1, PROTOO_REAUTHORIZE_INTERVAL=60
    )),
]  # fmt: skip

#: Findings with tests of their own, in this file and in test_redis.py.
ELSEWHERE = {
    *(
        "nothing-registered",
        "server-unknown",
        "compression-exceeds-memory",
        "drain-cut-off",
        "cluster-key-weak",
    ),
    *("redis-unusable", "redis-rights", "redis-evicts", "redis-shared"),
    *("redis-without-password", "redis-without-tls"),
}


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_a_site_with_one_fault_has_one_finding(project, case):
    project.write(case.lines, case.after)
    project.save("gunicorn.conf.py", f"{GUNICORN}\n{case.gunicorn}")
    if case.procfile:
        project.save("Procfile", case.procfile)
    outcome = project.check(*case.arguments, **case.environ)
    assert outcome.errors == ""
    assert outcome.codes == ([case.code] if case.code else [])
    is_error = bool(case.code) and KINDS[case.code][0] == "error"
    assert outcome.code == int(is_error)


def test_every_finding_has_a_case():
    assert {case.code for case in CASES} - {""} == KINDS.keys() - ELSEWHERE
    assert len(CHECKS) == len(set(CHECKS))


def test_nothing_is_said_of_gunicorn_where_nothing_tells_of_it(project):
    (project.folder / "gunicorn.conf.py").unlink()
    outcome = project.check()
    assert outcome.codes == ["server-unknown"]
    assert outcome.code == 0
    assert outcome.report["gunicorn"] is None


def test_the_configuration_of_gunicorn_may_have_another_name(project):
    project.save("deploy.py", GUNICORN + "\nworkers = 3")
    outcome = project.check("--gunicorn-config", "deploy.py")
    assert outcome.codes == ["workers-without-cluster"]
    assert outcome.report["gunicorn"] == {
        "config": "deploy.py",
        "worker_class": "gevent",
        "workers": 3,
    }


def test_a_worker_class_that_lacks_a_package_is_explained_in_a_line(project):
    project.save("mine.py", "import a_package_that_nobody_has")
    project.save("gunicorn.conf.py", f"{GUNICORN}\nworker_class = 'mine.Worker'")
    outcome = project.check()
    (finding,) = outcome.report["findings"]
    assert finding["problem"] == (
        "gunicorn cannot load its worker class 'mine.Worker': "
        "ModuleNotFoundError: No module named 'a_package_that_nobody_has'"
    )


def test_a_configuration_that_is_not_there_is_named(project):
    outcome = project.check("--gunicorn-config", "missing.py")
    assert outcome.codes == ["gunicorn-unreadable"]
    assert "missing.py" in outcome.output


def test_a_configuration_may_print_and_change_its_process(project):
    project.save(
        "gunicorn.conf.py",
        "import atexit, os; print('hello'); os.chdir('/'); atexit.register(print, 'bye')\n"
        f"{GUNICORN}\nworkers = 2",
    )
    assert project.check().codes == ["workers-without-cluster"]


def test_a_configuration_that_ends_the_process_is_told(project):
    project.save("gunicorn.conf.py", "import os; os._exit(0)")
    outcome = project.check()
    assert outcome.codes == ["gunicorn-unreadable"]
    assert "exit status 0" in outcome.output


def test_a_site_without_handlers_is_warned_of(project):
    text = (project.folder / "app.py").read_text()
    project.save("app.py", text.replace('protoo.use("/users"', 'print if 1 else ("/users"'))
    assert project.check().codes == ["nothing-registered"]


# Checks with numbers


def make_subject(settings=None, gunicorn=None, peers=None):
    app = Flask(__name__)
    protoo = Protoo(app)
    site = app.extensions["protoo"]
    assert site.protoo is protoo
    return Subject(app, site, settings or Settings(), gunicorn, {}, peers)


@dataclasses.dataclass(frozen=True)
class DrainingSettings(Settings):
    drain_timeout: float | None = 30


@pytest.mark.parametrize(
    ("drain", "graceful_timeout", "codes"),
    [(30, 32, ["drain-cut-off"]), (30, 33, []), (0, 2, []), (None, 2, [])],
)
def test_gunicorn_must_wait_for_longer_than_the_drain_takes(drain, graceful_timeout, codes):
    gunicorn = Gunicorn(graceful_timeout=graceful_timeout, keepalive=1)
    subject = make_subject(DrainingSettings(drain_timeout=drain), gunicorn)
    assert [finding.code for finding in check_restarts(subject)] == codes


def test_compression_of_many_is_compared_with_the_memory():
    subject = make_subject(Settings(compression=True), peers=10**9)
    assert [finding.code for finding in check_compression(subject)] == [
        "compression-exceeds-memory"
    ]


def test_the_peers_of_a_worker_and_its_reserve_need_descriptors():
    limit = find_limit()
    assert limit > 1000  # where the tests run
    most = limit - max(64, limit // 8) - 8
    workers = Gunicorn(workers=4)
    assert list(check_descriptors(make_subject(gunicorn=workers, peers=4 * most))) == []
    assert list(check_descriptors(make_subject(gunicorn=workers, peers=4 * limit)))
    assert list(check_descriptors(make_subject(peers=limit - 63)))


@pytest.mark.parametrize(
    ("secret", "is_weak"),
    [
        (LATIN_KEY[:15], True),
        (LATIN_KEY, False),
        ("0123456" * 5, True),
        ("01234567" * 5, False),
        ("Change-Me!" * 5, True),
        ("django-insecure-0123456789abcdef", True),
        (b"\xff\xfe" + LATIN_KEY.encode(), False),
        ("\ud800" + LATIN_KEY, False),
        (bytearray(LATIN_KEY.encode()), False),
    ],
)
def test_a_weak_secret_is_short_or_plain_or_an_example(secret, is_weak):
    assert bool(find_fault(secret)) is is_weak


def test_every_level_is_one_of_the_levels():
    assert {level for level, _ in KINDS.values()} == set(LEVELS)
