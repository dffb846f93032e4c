"""The quick start of the README works as printed, in an empty folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest
from playwright.sync_api import expect

from .conftest import ROOT


def block(name):
    """Return the code block of the README that follows `<!-- quick start: name -->`."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(rf"<!-- quick start: {re.escape(name)} -->\n```\w*\n(.*?)```", text, re.S)
    assert found, f"the README has no block {name!r}"
    return found.group(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An empty folder beside the checkout."""
    tmp_path = tmp_path_factory.mktemp("newcomer")
    shutil.copytree(
        ROOT,
        tmp_path / "protoo_flask",
        ignore=shutil.ignore_patterns(".*", "*.egg-info", "build", "node_modules", "instance"),
    )
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


def run(shell, folder):
    # The environment of the tests must not help: a new user does not have it.
    environ = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environ["FLASK_RUN_PORT"] = "0"
    return subprocess.Popen(
        ["sh", "-ec", shell],
        cwd=folder,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="module")
def url(folder):
    setup = run(block("shell"), folder)
    output, _ = setup.communicate(timeout=300)
    if setup.returncode and os.environ.get("CI") != "true":
        pytest.skip(f"cannot install: {output[-300:]}")
    assert setup.returncode == 0, output
    (folder / "chat.py").write_text(block("chat.py"), encoding="utf-8")
    # exec, so that terminate() stops the server and not the shell.
    server = run("exec " + block("run"), folder)
    lines = []
    for line in server.stdout:
        lines.append(line)
        found = re.search(r"Running on (http://\S+)", line)
        if found:
            break
    else:
        pytest.fail("flask did not start:\n" + "".join(lines))
    yield found.group(1)
    server.terminate()
    output, _ = server.communicate(timeout=10)
    assert "Traceback" not in output, output


def test_the_quick_start_works_as_printed(browser, url):
    pages = {}
    for name in ("alice", "bob"):
        context = browser.new_context()
        page = pages[name] = context.new_page()
        page.goto(f"{url}/login/{name}")
        expect(page.locator("li", has_text="connected")).to_be_visible()

    def write(sender, to, text):
        pages[sender].locator("[name=to]").fill(to)
        pages[sender].locator("[name=text]").fill(text)
        pages[sender].get_by_role("button").click()

    write("alice", "bob", "hi Bob!")
    expect(pages["bob"].locator("li", has_text="alice: hi Bob!")).to_be_visible()
    expect(pages["alice"].locator("li", has_text="you, to bob: hi Bob!")).to_be_visible()
    write("bob", "alice", "hi Alice!")
    expect(pages["alice"].locator("li", has_text="bob: hi Alice!")).to_be_visible()
    write("alice", "nobody", "hello?")
    expect(pages["alice"].locator("li", has_text="404 peer not found")).to_be_visible()
    for page in pages.values():
        page.context.close()


def test_the_page_says_that_the_user_is_not_logged_in(browser, url):
    context = browser.new_context()
    page = context.new_page()
    page.goto(url)
    expect(page.locator("li", has_text="refused: 403 not logged in")).to_be_visible()
    context.close()
