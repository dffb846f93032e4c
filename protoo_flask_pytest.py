"""The pytest plugin of protoo_flask: fixtures for clients and the clock, and a check for leaks.

It is a module beside the package, and imports the package when a fixture is used. pytest imports
the plugin at its start: neither Flask nor gevent should be imported before a site that patches the
process (``gevent.monkey``) does so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Iterator

import pytest

if TYPE_CHECKING:
    from protoo_flask.testing import TestClient, TestClock

#: The check of a test that uses the fixtures, once it has been called.
_CHECK = pytest.StashKey[Callable[[], None]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(
        "protoo_app",
        "the fixture with the Flask app, for protoo_clients and protoo_clock",
        default="app",
    )


@pytest.fixture
def protoo_clients(request: pytest.FixtureRequest) -> Iterator[Callable[..., TestClient]]:
    """Connect test clients to the app of the fixture ``app``; they are closed at the end.

    ``protoo_clients("alice", "phone")`` is ``protoo.test_client(username="alice", uuid="phone")``.
    ``protoo_clients(client=flask_client)`` has the cookies of a test client of Flask. Other options
    are those of ``protoo.test_client()``.

    A test fails that leaves something behind: peers, timers, requests, blocked greenlets.
    """
    app = _find_app(request)

    def connect(
        username: str | None = None, uuid: str | None = None, *, client: Any = None, **options: Any
    ) -> TestClient:
        flask_client = app.test_client() if client is None else client
        protoo = app.extensions["protoo"].protoo
        made: TestClient = protoo.test_client(flask_client, username=username, uuid=uuid, **options)
        return made

    with _watch(request, app):
        yield connect


@pytest.fixture
def protoo_clock(request: pytest.FixtureRequest) -> Iterator[TestClock]:
    """The clock of the app of the fixture ``app``: ``protoo_clock.advance(seconds)``.

    A test fails that leaves something behind, as with ``protoo_clients``.
    """
    from protoo_flask.testing import TestClock
    from protoo_flask.testing.server import find_server

    app = _find_app(request)
    with _watch(request, app):
        yield TestClock(find_server(app))


@pytest.hookimpl(trylast=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Check a test that has passed. Here, so that the test fails, and not its teardown."""
    check = item.stash.get(_CHECK, None)
    if check is not None:
        check()


class _watch:
    """Note what there is before a test, and close the clients that it has left open."""

    def __init__(self, request: pytest.FixtureRequest, app: Any) -> None:
        from protoo_flask.testing.server import find_server

        self._node = request.node
        self._server = find_server(app)
        self._earlier = list(self._server.clients)

    def __enter__(self) -> None:
        self._is_first = _CHECK not in self._node.stash
        if self._is_first:
            self._server.begin()
            self._node.stash[_CHECK] = self._check

    def __exit__(self, *error: object) -> None:
        if self._is_first:
            del self._node.stash[_CHECK]  # a plugin may run the same test again
            self._server.close_clients(self._earlier)

    def _check(self) -> None:
        try:
            self._server.finish(self._earlier)
        except AssertionError as error:
            failure = str(error)
        else:
            return
        pytest.fail(failure, pytrace=False)  # the frames here say nothing


def _find_app(request: pytest.FixtureRequest) -> Any:
    name = request.config.getini("protoo_app")
    try:
        app = request.getfixturevalue(name)
    except pytest.FixtureLookupError as error:
        if error.argname != name:
            raise
        raise pytest.UsageError(
            f"{request.fixturename} needs a fixture {name!r} that returns the Flask app; the ini "
            "option protoo_app is for a fixture of another name"
        ) from None
    if "protoo" not in getattr(app, "extensions", {}):
        raise pytest.UsageError(
            f"the fixture {name!r} must return a Flask app with a Protoo; it returned {app!r}"
        )
    return app
