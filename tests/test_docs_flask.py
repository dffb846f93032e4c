"""docs/flask.md tells the truth: its recipes run, and do what it says."""

from __future__ import annotations

import gc
import re
import weakref
from pathlib import Path

import pytest

from protoo_flask import Protoo
from protoo_flask.core.errors import UsageError

from .joining import join

PAGE = (Path(__file__).parent.parent / "docs" / "flask.md").read_text(encoding="utf-8")

BLOCK = re.compile(r"<!-- recipe: (?P<name>.+?) -->\n```python\n(?P<source>.*?)```", re.DOTALL)
RECIPES = {block["name"]: block["source"] for block in BLOCK.finditer(PAGE)}


def run(name, **names):
    """Run a recipe, which knows some names already; returns all names then."""
    names.setdefault("__name__", "site")
    source = RECIPES[name].replace("@pytest.fixture\n", "")  # pytest calls the function itself
    exec(compile(source, f"docs/flask.md: {name}", "exec"), names)
    return names


def test_every_block_is_a_recipe_that_is_tested():
    assert PAGE.count("```python\n") == len(RECIPES)
    assert set(RECIPES) == {"module", "factory", "fixture"}


def ask(inbox, method, path):
    inbox.receive(b'{"method": "%s", "path": "%s", "id": 1}' % (method.encode(), path.encode()))
    return inbox.peer.link.take()["status"]


@pytest.mark.parametrize(("recipe", "path"), [("module", "/echo"), ("factory", "/chat/echo")])
def test_an_app_factory_may_run_many_times(recipe, path):
    create_app = run(recipe)["create_app"]
    for _ in range(3):
        app = create_app()
        inbox = join(app)
        assert ask(inbox, "get", path) == 200
        assert ask(inbox, "message", "/users/nobody") == 404
        app.extensions["protoo"].close()


@pytest.mark.parametrize("recipe", ["module", "factory"])
def test_a_dropped_app_is_deleted(recipe):
    create_app = run(recipe)["create_app"]
    app = create_app()
    ask(join(app), "get", "/echo")
    app.extensions["protoo"].close()
    dropped = weakref.ref(app)
    del app
    gc.collect()
    assert dropped() is None


def test_the_fixture_answers_for_its_app():
    names = run("module")
    apps = []
    protoo: Protoo = names["protoo"]
    for _ in range(2):
        generator = run("fixture", create_app=names["create_app"])["app"]()
        app = next(generator)
        apps.append(app)
        peer = join(app).peer
        assert protoo.peers() == [peer]
        link = peer.link
        assert list(generator) == []
        assert link.closed == (1001, "shutting down")
    apps += [names["create_app"](), names["create_app"]()]
    with pytest.raises(UsageError, match="several apps"):
        protoo.peers()
