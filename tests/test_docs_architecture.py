"""docs/architecture.md tells the truth: its names exist, its walks happen, its examples run."""

from __future__ import annotations

import ast
import json
import re
import sys
from typing import Any, NamedTuple

import pytest

from benchmarks.figures import command
from benchmarks.figures.imports import MODULES, PACKAGE, has_code, imports_of
from benchmarks.figures.page import PAGE, find_differences, read_groups
from benchmarks.tracing import Call
from benchmarks.trips import trace_trips
from protoo_flask import Protoo
from protoo_flask.core.peers.directory import Identity
from protoo_flask.core.routing.router import Router
from protoo_flask.core.wire.dialect import PROTOO
from protoo_flask.settings import PREFIX

from .architecture_page import RECIPES, TEXT, code, rows, section
from .fakes import Core, FakeContext
from .joining import join, make_app

#: In the text: `Inbox.receive` (`core/inbox.py`).
REFERENCE = re.compile(r"`([\w.]+)`\s+\(`([\w/]+\.py)`\)")

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the trips are at home on Linux")


class Reference(NamedTuple):
    name: str
    file: str


def find_references() -> list[Reference]:
    found = [Reference(*pair) for pair in REFERENCE.findall(TEXT)]
    for seam, file, *_ in rows(section("## The seams")):
        found.append(Reference(*code(seam), *code(file)))
    for _, file, names in rows(section("## Where do I change ...")):
        found += [Reference(name, *code(file)) for name in code(names)]
    return list(dict.fromkeys(found))


def defines(body: list[ast.stmt], name: str) -> bool:
    """Whether a name, such as ``Inbox.receive``, is defined in the body of a module or class."""
    first, _, rest = name.partition(".")
    for node in body:
        if isinstance(node, (ast.If, ast.Try)) and defines(list(ast.iter_child_nodes(node)), name):
            return True
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == first:
            return not rest or defines(node.body, rest) or has_attribute(node, rest)
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if not rest and any(isinstance(item, ast.Name) and item.id == name for item in targets):
            return True
    return False


def has_attribute(node: ast.AST, name: str) -> bool:
    return any(
        isinstance(inner, ast.Attribute)
        and inner.attr == name
        and isinstance(inner.ctx, ast.Store)
        and isinstance(inner.value, ast.Name)
        and inner.value.id == "self"
        for inner in ast.walk(node)
    )


# The modules


def test_the_tables_have_every_module_and_no_other():
    differences = find_differences(read_groups(TEXT))
    assert not differences, "\n".join(["mend the tables of docs/architecture.md:", *differences])


def test_a_module_that_is_missing_or_does_not_exist_is_named():
    page = TEXT.replace("| `core/inbox.py` |", "| `core/outbox.py` |")
    assert {
        "the page misses core/inbox.py",
        "the page names core/outbox.py, which does not exist",
    } <= set(find_differences(read_groups(page)))


def test_a_module_that_is_named_twice_is_found_out():
    page = TEXT.replace("| `core/link.py` |", "| `core/link.py` | |\n| `core/link.py` |")
    assert "the page names core/link.py twice" in find_differences(read_groups(page))


def test_a_module_imports_only_modules_above_it():
    listed = [module for group in read_groups(TEXT) for module in group.modules]
    modules = [module for module in listed if module in MODULES]
    above: set[str] = set()
    for module in modules:
        for found in imports_of(module):
            if found.is_ours and has_code(found.name):
                assert found.name in above, f"{module} imports {found.name}, which is not above it"
        above.add(module)


def test_every_file_that_is_named_exists():
    for file in re.findall(r"`([\w/]+\.py)`", TEXT):
        paths = [PACKAGE / file, PACKAGE.parent / file]
        assert any(path.exists() for path in paths), f"there is no {file}"


def test_every_link_leads_to_a_file():
    for link in re.findall(r"\]\(([^)#]+)", TEXT):
        assert (PAGE.parent / link).exists(), link


@pytest.mark.parametrize("reference", find_references(), ids=": ".join)
def test_a_name_is_defined_in_its_file(reference):
    tree = ast.parse((PACKAGE / reference.file).read_text(encoding="utf-8"))
    assert defines(tree.body, reference.name), "{1} defines no {0}".format(*reference)


def test_a_name_that_is_not_defined_is_found_out():
    tree = ast.parse((PACKAGE / "core/inbox.py").read_text(encoding="utf-8"))
    assert not defines(tree.body, "Inbox.recieve")
    assert not defines(tree.body, "Inbox.receive.now")
    assert not defines(tree.body, "receive")


def test_the_tables_of_seams_have_every_protocol():
    named = {name for seam, *_ in rows(section("## The seams")) for name in code(seam)}
    protocols = {
        node.name
        for path in MODULES.values()
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
        and any("id='Protocol'" in ast.dump(base) for base in node.bases)
    }
    assert protocols - named == set()


def find_names() -> list[str]:
    """Return the classes, their members and the constants that are named anywhere in the text."""
    text = re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL)
    found = {name for name in code(text) if re.fullmatch(r"[A-Z]\w+(\.\w+)?", name)}
    return sorted(found - {"False", "Protocol"})


@pytest.mark.parametrize("name", find_names())
def test_a_name_is_defined_somewhere(name):
    paths = [*PACKAGE.rglob("*.py"), *(PACKAGE.parent / "tests").glob("*.py")]
    sources = [path.read_text(encoding="utf-8") for path in paths]
    sources.append("".join(RECIPES.values()))
    if name.startswith(PREFIX):
        name = f"Settings.{name[len(PREFIX) :].lower()}"
    holder, _, member = name.partition(".")
    definition = re.compile(rf"^ *(?:class|def) {holder}\b|^[\w, ]*\b{holder}\b.*=", re.MULTILINE)
    found = [source for source in sources if definition.search(source)]
    assert found, f"nothing is called {holder}"
    assert not member or any(re.search(rf"\b{member}\b", source) for source in found)


# The figures


@pytest.fixture(scope="module")
def trips():
    return trace_trips()


def test_the_figure_of_the_layers_is_up_to_date():
    hint = "draw it again: python3 dev.py figures"
    assert command.path_of("layers").read_text(encoding="utf-8") == command.draw_layers(), hint


@on_linux
def test_the_figures_of_the_trips_are_up_to_date(trips):
    outdated = [
        name
        for name, figure in command.draw_trips(trips).items()
        if not command.is_same(name, command.path_of(name), figure)
    ]
    assert outdated == [], "draw them again: python3 dev.py figures"


# The walks


@on_linux
@pytest.mark.parametrize("name", ["request", "relay", "handshake", "takeover"])
def test_the_steps_of_a_walk_happen_in_this_order(name, trips):
    found = [Reference(*pair) for pair in REFERENCE.findall(section(f"### A {name}"))]
    assert len(found) > 5
    files = {call.file for call in trips[name]}
    calls = iter(trips[name])
    for step in found:
        if step.file.endswith("contexts.py") and step.file not in files:
            continue  # older releases of Flask have no fast way
        assert any(is_call_of(step, call) for call in calls), (
            f"{step} does not come at its place: python -m benchmarks trips --show {name}"
        )


def is_call_of(step: Reference, call: Call) -> bool:
    # Before CPython 3.11 a call has only the name of its method.
    return call.file == step.file and call.function in (step.name, step.name.rpartition(".")[2])


# The examples


def run(recipe: str, **names: Any) -> dict[str, Any]:
    """Run the code of a recipe; returns the names that it defines."""
    exec(compile(RECIPES[recipe], f"docs/architecture.md: {recipe}", "exec"), names)
    return names


def test_the_recipe_of_a_middleware():
    polls = run("middleware")["polls"]
    router = Router().use("/polls", polls(None))
    core, other = Core(router), Core(router)
    alice, bob = core.connect("alice"), core.connect("bob", "b1")
    votes = [client.request("vote", "/polls/lunch", {"choice": "soup"}) for client in (alice, bob)]
    assert [vote["data"] for vote in votes] == [{"votes": 1}, {"votes": 2}]
    answer = other.connect().request("vote", "/polls/lunch", {"choice": "soup"})
    assert answer["data"] == {"votes": 1}


@pytest.fixture
def echo():
    """Return an app of the core with one handler, which sends the data back."""
    router = Router()
    router.all("/echo", lambda req, next: req.reply(200, "OK", req.data))
    router.freeze(Core().routing_options)
    return Core(router)


def test_the_recipe_of_a_link(echo):
    connect = run("link")["connect"]
    received: list[bytes] = []
    context = FakeContext(echo.framework)
    inbox = connect(echo.application, Identity("alice", "a1"), context, received.append)
    assert ("peer_online", "alice") in echo.framework.told
    inbox.receive(b'{"method": "get", "path": "/echo", "id": 1, "data": {"n": 1}}')
    assert json.loads(received.pop())["data"] == {"n": 1}
    for _ in range(20):
        inbox.receive(b"nonsense")
    assert not inbox.peer.online
    assert ("peer_offline", "alice") in echo.framework.told
    again = connect(echo.application, Identity("alice", "a1"), context, received.append)
    assert echo.application.disconnect("alice", None, 3001, "bye") == 1
    assert not again.peer.notify("news")


def test_the_recipe_of_a_link_has_every_verb():
    link = run("link")["MemoryLink"](None, None)
    assert members("core/link.py", "Link") <= set(dir(link))
    assert members("core/link.py", "Outbox") <= set(dir(link.outbox))


def test_the_recipe_of_a_dialect(echo):
    app = make_app()
    Protoo(app)
    dialect = run("dialect", app=app)["ENVELOPE"]
    assert app.extensions["protoo"].dialects == (PROTOO, dialect)
    assert members("core/wire/dialect.py", "Dialect") <= set(dir(dialect))
    received: list[bytes] = []
    link = run("link")["MemoryLink"](echo.scheduler, received.append)
    context = FakeContext(echo.framework)
    link.inbox = echo.application.connect(Identity("alice", "a1"), link, context, dialect=dialect)
    link.inbox.open()
    link.inbox.receive(b'[2,{"method": "get", "path": "/echo", "id": 1}]')
    link.inbox.receive(b'{"method": "get", "path": "/echo", "id": 2}')
    link.inbox.peer.notify("news", {"n": 1})
    answer, refusal, news = (json.loads(payload) for payload in received)
    assert (answer[0], answer[1]["status"]) == (2, 200)
    assert (refusal[1]["status"], refusal[1]["reason"]) == (400, "a message is [2,{...}]")
    assert news[1]["method"] == "news"
    link.inbox.peer.close()


def members(file: str, protocol: str) -> set[str]:
    """Return the methods and properties of a protocol."""
    [found] = [
        node
        for node in ast.parse((PACKAGE / file).read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and node.name == protocol
    ]
    return {node.name for node in found.body if isinstance(node, ast.FunctionDef)}


def test_the_recipe_of_an_observer():
    app = make_app()
    protoo = Protoo(app)
    counts = run("observer", protoo=protoo)["counts"]
    inbox = join(app)
    inbox.receive(b'{"method": "get", "path": "/nothing", "id": 1}')
    inbox.receive(b'{"method": 7, "path": "/", "id": 2}')
    assert counts.statuses == {404: 1}
    assert counts.reasons == {"method must be a non-empty string": 1}
    protoo.close()


def test_the_recipe_of_a_directory():
    app = make_app()
    protoo = Protoo(app, disconnect_grace_period=5)
    published: list[tuple[str, str]] = []
    run(
        "directory",
        app=app,
        publish=lambda address, state: published.append((address["username"], state)),
    )
    inbox = join(app)
    inbox.closed(1006)
    inbox.peer.runtime.scheduler.advance(5)
    assert published == [("alice", "connected"), ("alice", "disconnected"), ("alice", "offline")]
    assert protoo.peers() == []


def test_the_recipes_are_all_tested():
    assert set(RECIPES) == {"middleware", "link", "dialect", "observer", "directory"}
