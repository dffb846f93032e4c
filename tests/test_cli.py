"""``python -m protoo_flask MODULE:NAME``: how an app is found, and the errors otherwise."""

from __future__ import annotations

import sys
import textwrap

import pytest
from flask import Flask

from protoo_flask import Protoo, cli
from protoo_flask.cli import CannotLoad, load, main

MODULES = {
    "shop.py": """
        from flask import Flask
        from protoo_flask import Protoo

        site = Flask("site")
        chat = Protoo()
        number = 7

        def create_app():
            return Flask("made")

        def create_nothing():
            return None

        def create_for(customer):
            return Flask(customer)
    """,
    "with_app.py": "from flask import Flask\napp = Flask('app')\nprotoo = 3",
    "with_protoo.py": "from protoo_flask import Protoo\nprotoo = Protoo()",
    "with_factory.py": "from flask import Flask\ndef create_app():\n    return Flask('made')",
    "empty.py": "",
    "broken.py": "1 / 0",
    "needs.py": "import module_that_is_missing",
    "ne.py": "",
    "needs_more.py": "import needs_mo",
    "package/__init__.py": "",
    "package/web.py": "from flask import Flask\napp = Flask('web')",
    "package/needs.py": "import package.missing",
}


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """A directory with the modules above, which are forgotten afterwards."""
    for name, source in MODULES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(source))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("shop:site", "site"),
        ("shop:create_app", "made"),
        ("shop:create_app()", "made"),
        ("with_app", "app"),
        ("with_app:", "app"),
        ("with_factory", "made"),
        ("package.web:app", "web"),
        ("package/web.py:app", "web"),
        ("./package/web.py", "web"),
        ("with_app.py", "app"),
    ],
)
def test_an_app_is_found(target, name):
    app = load(target)

    assert isinstance(app, Flask)
    assert app.name == name


@pytest.mark.parametrize("target", ["shop:chat", "with_protoo"])
def test_a_protoo_is_found(target):
    assert isinstance(load(target), Protoo)


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("nowhere:app", "there is no module 'nowhere' here"),
        ("package.nowhere:app", "there is no module 'package.nowhere' here"),
        ("nowhere.web:app", "there is no module 'nowhere.web' here"),
        ("shop:nothing", "module 'shop' has no nothing"),
        ("empty", "module 'empty' has no app or application or protoo or create_app"),
        ("shop:number", "shop:number is 7; it should be a Flask app or a Protoo"),
        ("shop:create_nothing", "shop:create_nothing is None; it should be a Flask app"),
        ("", "'' is not MODULE:NAME"),
        (":app", "':app' is not MODULE:NAME"),
        (".", "'.' is not MODULE:NAME"),
        ("../shop:site", "'../shop:site' is not MODULE:NAME"),
    ],
)
def test_an_app_that_cannot_be_found_is_named(target, text, capsys):
    with pytest.raises(CannotLoad) as caught:
        load(target)
    assert str(caught.value).startswith(text)

    assert main([target]) == 2
    assert capsys.readouterr().err.startswith(f"python -m protoo_flask: {text}")


@pytest.mark.parametrize(
    ("target", "error"),
    [
        ("broken:app", ZeroDivisionError),
        ("needs:app", ModuleNotFoundError),
        ("needs_more:app", ModuleNotFoundError),
        ("package.needs:app", ModuleNotFoundError),
        ("shop:create_for", TypeError),
    ],
)
def test_a_defect_of_the_module_is_not_hidden(target, error):
    with pytest.raises(error):
        load(target)


def test_an_app_is_served_where_the_options_say(monkeypatch):
    served = []
    monkeypatch.setattr(cli, "serve", lambda app, host, port: served.append((app.name, host, port)))

    assert main(["shop:site"]) == 0
    assert main(["shop:create_app", "--host", "::1", "--port", "0"]) == 0

    assert served == [("site", "127.0.0.1", 8000), ("made", "::1", 0)]


def test_a_protoo_is_run(monkeypatch):
    ran = []
    monkeypatch.setattr(Protoo, "run", lambda self, host, port: ran.append((host, port)))

    assert main(["shop:chat", "--port", "5000"]) == 0

    assert ran == [("127.0.0.1", 5000)]


def test_an_address_that_is_taken_is_named(monkeypatch, capsys):
    def serve(app, host, port):
        raise OSError(98, "Address already in use")

    monkeypatch.setattr(cli, "serve", serve)

    assert main(["shop:site"]) == 1
    assert "cannot serve: [Errno 98] Address already in use" in capsys.readouterr().err


def test_help_shows_how_it_is_used(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    assert "MODULE:NAME" in capsys.readouterr().out

    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2
