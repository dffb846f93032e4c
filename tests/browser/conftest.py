"""Fixtures for a real Chromium, and for the sample app under gunicorn."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Iterator, Sequence

import pytest
from playwright.sync_api import expect, sync_playwright
from werkzeug.serving import make_server

from .plain_site import PlainSite
from .proxy import Proxy

ROOT = Path(__file__).resolve().parents[2]

#: Options that keep Chromium from contacting the outside world, and that give it a fake camera and
#: a fake microphone without asking for permission.
ARGUMENTS = [
    "--no-sandbox",  # it may run as root, in a container
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--auto-select-desktop-capture-source=Entire screen",
    # Without multicast DNS, the names that hide local addresses cannot be resolved.
    "--disable-features=WebRtcHideLocalIpsWithMdns",
]

expect.set_options(timeout=10_000)

NUMBERS = itertools.count(1)


def find_chromium():
    for name in ("chromium", "chromium-browser", "google-chrome"):
        path = shutil.which(name)
        if path:
            return path
    return None


@pytest.fixture(scope="session")
def browser():
    path = find_chromium()
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail("Chromium is missing; under CI=true nothing is skipped")
        pytest.skip("Chromium is not installed")
    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield chromium
        chromium.close()


class Server:
    """gunicorn with the sample app, as `dev.py sample` starts it. It can be restarted.

    :param config: the argument of `create_app()`.
    :param options: of gunicorn.
    :param environ: variables of the environment.
    """

    def __init__(
        self,
        folder: Path,
        config: dict[str, object],
        options: Sequence[str] = (),
        **environ: str,
    ) -> None:
        self._options = options
        self._environ = environ
        self._folder = folder
        self._app = f"sample_app:create_app({config!r})"
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the server; a second start uses the same port."""
        environ = {
            **os.environ,
            "DATABASE_URL": f"sqlite:///{self._folder / 'chat.sqlite'}",
            "SECRET_KEY": "of the tests",
            "PYTHONPATH": str(ROOT),
            **self._environ,
        }
        command = [sys.executable, "-m", "gunicorn", "-c", "sample_app/gunicorn.conf.py"]
        command += self._options
        self._process = subprocess.Popen(
            [*command, "--bind", f"127.0.0.1:{self.port}", self._app],
            cwd=ROOT,
            env=environ,
            stderr=subprocess.PIPE,
            text=True,
        )
        for line in self.log_lines():
            found = re.search(r"Listening at: http://127.0.0.1:(\d+)", line)
            if found:
                self.port = int(found.group(1))
            if "Booting worker" in line:
                return
        raise AssertionError("gunicorn did not start")

    def log_lines(self) -> Iterator[str]:
        """Return the lines of the log that nobody has read, as they come."""
        assert self._process is not None
        assert self._process.stderr is not None
        return iter(self._process.stderr.readline, "")

    def stop(self) -> str:
        """Stop the server as a deployment does, and return its log."""
        assert self._process is not None
        self._process.terminate()
        _, log = self._process.communicate(timeout=30)
        return log


@pytest.fixture
def server(tmp_path, request):
    """The sample app; `@with_config(NAME=value)` before a test changes its settings."""
    # On a busy machine a page may take long to be loaded again.
    config = {"PROTOO_RELOAD_GRACE_PERIOD": 15, **getattr(request, "param", {})}
    server = Server(tmp_path, config)
    server.start()
    yield server
    assert "Traceback" not in server.stop()


def with_config(**config):
    return pytest.mark.parametrize("server", [config], indirect=True, ids=[""])


def share_server(**config):
    """Make a fixture `server` for a test module: all of its tests have one server.

    Tests of such a module have users of their own: see `open_users`.
    """

    @pytest.fixture(scope="module")
    def server(tmp_path_factory):
        server = Server(tmp_path_factory.mktemp("site"), config)
        server.start()
        yield server
        assert "Traceback" not in server.stop()

    return server


@pytest.fixture
def proxy(server):
    proxy = Proxy(server.port)
    yield proxy
    proxy.close()


@pytest.fixture
def open_browser(browser, server):
    """A function that opens a new browser, logs in, and returns the page.

    `base_url=proxy.url` puts the proxy between that browser and the server.
    """
    contexts = []
    problems = []

    def open_browser(username, **options):
        context = browser.new_context(**{"base_url": server.url, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(f"{username}: {error}"))
        log_in(page, username)
        return page

    yield open_browser
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture
def open_users(open_browser):
    """A function that opens a browser for each new user, and returns pages with a `username`."""
    number = next(NUMBERS)

    def open_users(*names, **options):
        pages = [open_browser(f"{name}{number}", **options) for name in names]
        for page, name in zip(pages, names):
            page.username = f"{name}{number}"
        return pages

    return open_users


def log_in(page, username):
    page.goto("/login" if page.url == "about:blank" else page.url)
    page.get_by_test_id("login-name").fill(username)
    page.get_by_test_id("login-button").click()
    expect(page.locator("body[data-connected=true]")).to_be_attached()


@pytest.fixture
def serve():
    """A function that serves an app, and returns its URL."""
    running = []

    def serve(app):
        server = make_server("127.0.0.1", 0, app, threaded=True)
        thread = threading.Thread(target=server.serve_forever)
        running.append((server, thread))
        thread.start()
        return f"http://127.0.0.1:{server.server_port}/"

    yield serve
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def call_site():
    """The URL of the site of call_site.py."""
    target = "tests.browser.call_site:create_app"
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "protoo_flask", target, "--port", "0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        found = re.search(r"http://127.0.0.1:\d+", line)
        if found:
            break
    else:
        raise AssertionError("the site did not start")
    yield found.group(0)
    process.terminate()
    log, _ = process.communicate(timeout=30)
    assert "Traceback" not in log


@pytest.fixture
def open_page(browser, call_site):
    """A function that opens a new browser, logs in at call_site.py, and returns the page.

    `query` is that of the page: `?calls=` and the options of Calls as JSON.
    """
    contexts = []
    problems = []
    number = next(NUMBERS)

    def open_page(name, context=None, query="", **options):
        # New users for each test: old ones may be in their grace period and would still ring.
        username = f"{name}{number}"
        if context is None:
            context = browser.new_context(
                **{"base_url": call_site, "permissions": ["camera", "microphone"], **options}
            )
            contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: problems.append(f"{username}: {error}"))
        page.goto(f"/login/{username}{query}")
        expect(page.locator("body[data-ready=true]")).to_be_attached()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture
def make_site(serve):
    """A function that serves a `PlainSite`, with the arguments of that class."""
    sites = []

    def make_site(*args, **settings):
        site = PlainSite(*args, **settings)
        sites.append(site)
        site.url = serve(site.app)
        return site

    yield make_site
    for site in sites:
        site.close()
