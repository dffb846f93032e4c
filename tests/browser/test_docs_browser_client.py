"""The HTML of docs/browser-client.md works as printed."""

from __future__ import annotations

import re

import pytest
from flask import render_template_string

from .conftest import ROOT

PAGE = (ROOT / "docs" / "browser-client.md").read_text(encoding="utf-8")
CLASSIC, MODULE, WITH_URL = re.findall(r"^```html\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
#: A page that has the script from elsewhere; the client cannot guess the URL of the route.
COPY = f"<script src=/copy.js></script>\n{WITH_URL}"


@pytest.mark.parametrize(
    ("html", "path"),
    [
        (CLASSIC, "/protoo"),
        (MODULE, "/protoo"),
        (COPY, "/protoo"),
        (CLASSIC + MODULE, "/chat/live"),
    ],
    ids=["classic script", "module", "copy", "both, elsewhere"],
)
def test_the_client_of_the_page_connects(browser, make_site, html, path):
    site = make_site(path=path)
    html = html.replace("/protoo/", f"{path}/")
    # A `const` of a module is not global.
    html = re.sub(r"const client = (new \w+)", r"window.client = globalThis.client ?? \1", html)

    @site.app.get("/page")
    def page():
        return render_template_string(f"<!doctype html><link rel=icon href='data:,'>{html}")

    @site.app.get("/copy.js")
    def copy():
        return site.app.send_static_file("protoo.js")

    site.app.static_folder = str(ROOT / "protoo_flask" / "static")
    tab = site.open_foreign(browser, site.url + "other")
    problems = []
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.goto(site.url + "login/alice?to=/page")
    tab.wait_for_function("globalThis.client !== undefined")
    tab.evaluate("client.connect()")
    tab.wait_for_function("client.username === 'alice'")
    assert problems == []
