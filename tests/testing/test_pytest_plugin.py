"""The pytest plugin, in suites of its own: what passes, what fails, and with which words."""

from __future__ import annotations

import configparser
import subprocess
import sys

import pytest

from tests.servers.processes import ROOT

pytest_plugins = ["pytester"]

SITE = """
import gevent
import pytest
from flask import Flask, session
from protoo_flask import Protoo

@pytest.fixture
def app():
    app = Flask("site")
    app.secret_key = "of the tests"
    protoo = Protoo(app, disconnect_grace_period=15)

    @protoo.get("/echo")
    def echo(req, next):
        req.reply(200, "OK", req.data)

    @protoo.get("/stuck")
    def stuck(req, next):
        gevent.event.Event().wait()

    @protoo.on("online")
    def tell(peer):
        protoo.broadcast(protoo.peers(), "online", {"username": peer.username})

    yield app
"""

PASSING = """
def test_two_users(protoo_clients):
    alice = protoo_clients("alice", "phone")
    bob = protoo_clients("bob")
    assert alice.expect_notification("online").data == {"username": "alice"}
    assert alice.expect_notification("online").data == {"username": "bob"}
    assert alice.request("get", "/echo", {"n": 1}).data == {"n": 1}
    bob.drop()

def test_cookies_of_a_browser(app, protoo_clients):
    browser = app.test_client()
    with browser.session_transaction() as session:
        session["username"] = "carol"
    assert protoo_clients(client=browser).username == "carol"

def test_time(protoo_clients, protoo_clock):
    alice, bob = protoo_clients("alice"), protoo_clients("bob")
    alice.drop()
    protoo_clock.advance(14)
    assert not alice.peer.online
    protoo_clock.advance(1)
    assert alice.peer is None

def test_the_clock_alone(protoo_clock):
    before = protoo_clock.now
    protoo_clock.advance(1)
    assert protoo_clock.now == before + 1
"""


@pytest.fixture
def suite(pytester, monkeypatch):
    """Return a function that runs a test file of a site, and returns pytest's output."""
    pytester.makeini("[pytest]\nfilterwarnings = error\n")
    pytester.makeconftest(SITE)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def run(source, *, in_a_process_of_its_own=False, plugin="protoo_flask_pytest"):
        pytester.makepyfile(source)
        options = ["-p", plugin, "-p", "no:cacheprovider"]
        if in_a_process_of_its_own:
            result = pytester.runpytest_subprocess(*options)
        else:
            result = pytester.runpytest_inprocess(*options)
        return result.stdout.str() + result.stderr.str()

    return run


def test_a_suite_that_passes(suite):
    output = suite(PASSING)
    assert "4 passed" in output, output


def test_a_test_that_leaves_a_greenlet_fails_and_names_it(suite):
    output = suite(
        """
        def test_it(protoo_clients):
            protoo_clients("alice").send("get", "/stuck")

        def test_another(protoo_clients):
            protoo_clients("alice").request("get", "/echo")
        """
    )
    assert "1 failed, 1 passed" in output, output
    assert "the test has left behind, after its clients have gone:" in output
    assert "a greenlet in stuck (" in output
    assert "which does not return" in output
    assert "def finish" not in output, "the frames of the kit are noise"


def test_a_test_that_runs_again_is_watched_again(suite, pytester):
    pytester.makeconftest(SITE + RUN_TWICE)
    output = suite(
        """
        runs = []

        def test_it(protoo_clients):
            runs.append(1)
            alice = protoo_clients("alice")
            alice.expect_notification("online")
            if len(runs) == 1:
                alice.send("get", "/stuck")
                assert not "flaky"

        def test_another(protoo_clients):
            runs.append(2)
            if runs.count(2) == 2:
                protoo_clients("alice").send("get", "/stuck")
        """
    )
    assert "2 failed, 2 passed" in output, output
    assert "flaky" in output
    # Under CI=true, the summary at the end repeats all of it.
    details = output.partition("short test summary info")[0]
    assert details.count("left behind") == 1, "and it is told once"


#: As pytest-rerunfailures does it: each test runs twice.
RUN_TWICE = """
from _pytest.runner import runtestprotocol

def pytest_runtest_protocol(item, nextitem):
    for _ in range(2):
        item._initrequest()
        runtestprotocol(item, nextitem=nextitem)
    return True
"""


def test_a_test_that_fails_is_told_its_own_failure_only(suite):
    output = suite(
        """
        def test_it(protoo_clients):
            alice = protoo_clients("alice", "phone")
            alice.send("get", "/stuck")
            alice.expect_notification("news")
        """
    )
    assert "1 failed in" in output, output
    assert "alice/phone expected a notification 'news'" in output
    assert "1. notification 'online' {" in output
    assert 'alice.expect_notification("news")' in output
    assert "left behind" not in output
    assert "def _wait_for" not in output, "the frames of the kit are noise"


def test_clients_of_a_wider_scope_stay_and_are_no_leak(suite, pytester):
    pytester.makeconftest(SITE.replace("@pytest.fixture", '@pytest.fixture(scope="module")'))
    output = suite(
        """
        import pytest

        @pytest.fixture(scope="module")
        def carol(app):
            with app.extensions["protoo"].protoo.test_client(username="carol") as carol:
                yield carol

        def test_one(carol, protoo_clients):
            protoo_clients("alice")
            assert carol.expect_notification("online").data == {"username": "carol"}
            assert carol.expect_notification("online").data == {"username": "alice"}

        def test_two(carol, protoo_clients):
            protoo_clients("bob")
            assert carol.expect_notification("online").data == {"username": "bob"}
        """
    )
    assert "2 passed" in output, output


def test_many_tests_with_one_app_are_not_refused_as_many_handshakes(suite, pytester):
    pytester.makeconftest(
        SITE.replace("@pytest.fixture", '@pytest.fixture(scope="session")').replace(
            "Protoo(app, ", "Protoo(app, handshakes_per_user=0.1, "
        )
    )
    output = suite(
        """
        import pytest

        @pytest.mark.parametrize("n", range(5))
        def test_it(protoo_clients, n):
            protoo_clients("alice")
            if n == 1:
                pytest.skip("it does not come to its end")
        """
    )
    assert "4 passed, 1 skipped" in output, output


def test_a_suite_without_the_fixture_of_the_app_is_told_so(suite, pytester):
    pytester.makeconftest("")
    output = suite("def test_it(protoo_clients): pass")
    assert "protoo_clients needs a fixture 'app' that returns the Flask app" in output, output
    output = suite(
        """
        import pytest

        @pytest.fixture
        def app():
            return "site"

        def test_it(protoo_clock): pass
        """
    )
    assert "the fixture 'app' must return a Flask app with a Protoo; it returned 'site'" in output


def test_the_fixture_of_the_app_may_have_another_name(suite, pytester):
    pytester.makeini("[pytest]\nprotoo_app = site\n")
    pytester.makeconftest(SITE.replace("def app()", "def site()"))
    output = suite("def test_it(protoo_clients): protoo_clients('alice')")
    assert "1 passed" in output, output


def test_a_site_that_patches_the_process(suite, pytester):
    pytester.makeconftest("from gevent import monkey\nmonkey.patch_all()\n" + SITE)
    output = suite(PASSING + PATCHED, in_a_process_of_its_own=True)
    assert "6 passed" in output, output


PATCHED = """
import threading, time
import pytest
from protoo_flask.testing import ExpectationFailed

def test_a_thread_is_a_greenlet(app, protoo_clients):
    alice = protoo_clients("alice")
    alice.expect_notification("online")
    peer = alice.peer
    threading.Thread(target=lambda: (time.sleep(0.05), peer.notify("late"))).start()
    with pytest.raises(ExpectationFailed):
        alice.expect_nothing()
    alice.expect_notification("late")
    alice.expect_nothing()

def test_a_sleeping_handler(app, protoo_clients):
    protoo = app.extensions["protoo"].protoo

    @protoo.get("/sleep")
    def sleep(req, next):
        time.sleep(0.01)
        req.reply(200)

    assert protoo_clients("alice").request("get", "/sleep").status == 200
"""


def test_the_plugin_can_be_switched_off(suite, pytester):
    pytester.makeconftest("")
    output = suite(
        """
        import pytest

        @pytest.fixture
        def protoo_clients():
            return "of the site"

        def test_it(protoo_clients):
            assert protoo_clients == "of the site"

        def test_another(protoo_clock):
            pass
        """,
        plugin="no:protoo_flask_pytest",
    )
    assert "1 passed, 1 error" in output, output
    assert "fixture 'protoo_clock' not found" in output


def test_the_plugin_imports_neither_flask_nor_gevent():
    script = (
        "import sys, protoo_flask_pytest; "
        "print(sorted({'flask', 'gevent', 'protoo_flask'} & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


def test_the_package_has_the_entry_point_of_pytest():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    entry = config["options.entry_points"]["pytest11"]
    assert entry.strip() == "protoo_flask_pytest = protoo_flask_pytest"
    assert config["options"]["py_modules"] == "protoo_flask_pytest"
