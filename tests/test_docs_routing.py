"""docs/routing.md tells the truth: its examples run, and its tables are checked."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import logging
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from flask import abort

from protoo_flask import Protoo, Reject
from protoo_flask.core.errors import BadPath, PatternError
from protoo_flask.core.inbox import MAX_PATH_LENGTH
from protoo_flask.core.routing.layer import RoutingOptions
from protoo_flask.core.routing.matching.patterns import compile_pattern
from protoo_flask.core.routing.router import Router
from protoo_flask.settings import Settings
from protoo_flask.site.flask_framework import FlaskFramework

from .fakes import Core, FakeClient

PAGE = (Path(__file__).parent.parent / "docs" / "routing.md").read_text(encoding="utf-8")

#: Where the examples seem to be, for what is printed about them.
EXAMPLE_FILE = "/srv/site/chat.py"

NO_MATCH = "no match"

BLOCK = re.compile(
    r"(?:<!-- (?P<mark>file|shell): (?P<name>.+?) -->\n)?"
    r"```(?P<kind>python|text)\n(?P<text>.*?)```",
    re.DOTALL,
)


class Example(NamedTuple):
    """A block of Python, and the transcript below it: what Alice sends, and what she gets."""

    source: str
    transcript: str


def find_examples() -> list[Example]:
    blocks = [block for block in BLOCK.finditer(PAGE) if not block["mark"]]
    examples = []
    for block, following in zip(blocks, [*blocks[1:], None]):
        if block["kind"] == "python":
            transcript = following["text"] if following and following["kind"] == "text" else ""
            examples.append(Example(block["text"], transcript))
    return examples


def first_line(example: Example) -> str:
    return example.source.partition("\n")[0]


def find_marked(mark: str, name: str) -> str:
    """Return the block below ``<!-- mark: name -->``."""
    for block in BLOCK.finditer(PAGE):
        if (block["mark"], block["name"]) == (mark, name):
            return block["text"]
    raise AssertionError(f"the page has no block {mark}: {name}")


def find_rows(table: str) -> list[list[str]]:
    """Return the cells of the tables that are marked ``<!-- table: ... -->``."""
    rows = []
    for found in re.finditer(rf"<!-- table: {table} -->\n((?:\|.*\n)+)", PAGE):
        for line in found.group(1).splitlines()[2:]:
            cells = re.split(r"(?<!\\)\|", line)[1:-1]
            rows.append([unquote(cell.strip()) for cell in cells])
    assert rows, f"the page has no table {table}"
    return rows


def unquote(cell: str) -> str:
    """Return the text of a cell without what Markdown needs around it."""
    code = re.fullmatch(r"`(.*)`", cell)
    return (code.group(1) if code else cell).replace(r"\|", "|")


def read_pattern(cell: str) -> Any:
    """Return a pattern: Python for a list or a compiled one, else the text itself."""
    return eval(cell, {"re": re}) if cell.startswith(("re.", "[")) else cell


def try_match(matcher: Any, path: str) -> str:
    try:
        found = matcher.match(path)
    except BadPath as error:
        return str(error.status)
    return NO_MATCH if found is None else repr(found[1])


def same_params(cell: str) -> str:
    """Return a cell as :func:`try_match` writes it."""
    return repr(eval(cell)) if cell.startswith("{") else cell


# The tables


@pytest.mark.parametrize("options", ["", "strict", "case_sensitive"])
def test_the_tables_of_whole_paths_are_right(options):
    rows = find_rows(f"route {options}".strip())
    keywords = dict.fromkeys(options.split(), True)
    for pattern, path, params in rows:
        matcher = compile_pattern(read_pattern(pattern), end=True, **keywords)
        assert try_match(matcher, path) == same_params(params), (pattern, path)


def test_the_tables_of_strict_and_case_sensitive_patterns_hold_for_routers_too():
    for option in ("strict", "case_sensitive"):
        for pattern, path, params in find_rows(f"route {option}"):
            router = Router(**{option: True})
            router.message(pattern, lambda req, next: req.reply(200, repr(req.params)))
            core = Core(router, RoutingOptions())
            answer = core.connect().request("message", path)
            expected = "not found" if params == NO_MATCH else same_params(params)
            assert answer["reason"] == expected, (option, pattern, path)


def test_the_tables_of_whole_paths_show_every_form():
    patterns = [read_pattern(row[0]) for row in find_rows("route")]
    assert {type(pattern) for pattern in patterns} == {str, list, re.Pattern}
    text = " ".join(pattern for pattern in patterns if isinstance(pattern, str))
    for form in (":username ", ":uuid?", ":first*", ":last+", "(\\d+)", "/*", "b?", "b+", "(a|b)"):
        assert form in f"{text} "


def test_a_middleware_sees_the_rows_of_the_table_of_prefixes():
    for pattern, path, base_path, rest, params in find_rows("use"):
        router = Router()
        seen = []
        router.use(
            read_pattern(pattern),
            lambda req, next, seen=seen: seen.append((req.base_path, req.path, req.params)),
        )
        client = Core(router).connect()
        client.start_request("message", path)
        expected = [] if base_path == NO_MATCH else [(base_path, rest, eval(params))]
        assert seen == expected, (pattern, path)


def test_the_patterns_of_the_table_are_refused():
    for pattern, problem in find_rows("refused"):
        with pytest.raises(PatternError) as raised:
            Router().use(read_pattern(pattern))(print)
        assert raised.value.problem.startswith(problem), pattern


def test_the_page_quotes_the_error_of_a_refused_pattern():
    with pytest.raises(PatternError) as raised:
        Router().message("/users/:", print)
    assert f"```text\n{raised.value}\n```" in PAGE


def test_each_pattern_is_matched_as_the_table_of_matchers_says():
    for pattern, matched_by in find_rows("matcher"):
        matcher = compile_pattern(read_pattern(pattern), end=True)
        assert matched_by == ("the linear matcher" if matcher.is_slow else "re"), pattern


def test_the_page_names_the_limits():
    assert f"has at most {MAX_PATH_LENGTH} characters" in PAGE
    assert f"`PROTOO_RESPONSE_TIMEOUT` seconds ({Settings.response_timeout};" in PAGE


def test_a_path_beyond_the_limit_is_answered_414():
    router = Router().use(lambda req, next: req.reply(200, "routed"))
    client = Core(router).connect()
    assert client.request("message", "/" + "a" * (MAX_PATH_LENGTH - 1))["status"] == 200
    assert client.request("message", "/" + "a" * MAX_PATH_LENGTH)["status"] == 414


# The examples


def test_there_are_examples_with_transcripts():
    blocks = [block for block in BLOCK.finditer(PAGE) if not block["mark"]]
    transcripts = [block for block in blocks if block["kind"] == "text" and " -> " in block["text"]]
    used = [example for example in find_examples() if example.transcript]
    assert len(used) == len(transcripts) > 0


@pytest.mark.parametrize("example", find_examples(), ids=first_line)
def test_an_example_does_what_its_transcript_says(example, caplog):
    protoo = Protoo()
    namespace = {
        "__name__": "chat",
        "Reject": Reject,
        "abort": abort,
        "protoo": protoo,
        "re": re,
    }
    exec(compile(example.source, EXAMPLE_FILE, "exec"), namespace)
    core = Core(protoo.router, response_timeout=Settings.response_timeout)
    core.framework.describe_error = FlaskFramework(None, {}).describe_error
    client = core.connect()
    transcript = ""
    for line in example.transcript.splitlines():
        request, arrow, _ = line.partition(" -> ")
        if arrow and not line.startswith(" "):
            transcript += run(core, client, request, caplog)
    assert transcript == example.transcript


def run(core: Core, client: FakeClient, request: str, caplog: pytest.LogCaptureFixture) -> str:
    """Send ``METHOD PATH``; returns what the page says about it."""
    caplog.clear()
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), caplog.at_level(logging.WARNING):
        client.start_request(*request.split(" "))
        if not client.link.payloads:
            core.scheduler.advance(Settings.response_timeout)
    answers = client.take_all()
    lines = printed.getvalue().splitlines()
    lines += [f"{record.levelname} {record.getMessage()}" for record in caplog.records]
    answer = "; ".join(describe_answer(item) for item in answers) or "nothing"
    return "".join(f"{line}\n" for line in [f"{request} -> {answer}", *(f"  {x}" for x in lines)])


def describe_answer(message: dict[str, Any]) -> str:
    data = f" {json.dumps(message['data'])}" if message["data"] else ""
    return f"{message['status']} {message['reason']}{data}"


# The commands


@pytest.fixture
def app(tmp_path, monkeypatch):
    """The app of the page's chat.py, seen from its folder."""
    path = tmp_path / "chat.py"
    path.write_text(find_marked("file", "chat.py"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location("chat", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "chat", module)
    spec.loader.exec_module(module)
    return module.app


@pytest.mark.parametrize(
    "command",
    ["protoo routes", "protoo match message /rooms/7", "protoo match message /rooms/%zz"],
)
def test_a_command_prints_what_the_page_shows(app, command):
    result = app.test_cli_runner().invoke(args=command.split(" "))
    assert result.exit_code == 0, result.output
    assert result.output == find_marked("shell", command)
