"""The code of docs/rooms.md for a call of three connects three browsers."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from .conftest import ARGUMENTS, ROOT, find_chromium

SITE = """
from flask import Flask, session
from protoo_flask import Protoo
from protoo_flask.middleware import ice_servers, room_handler

app = Flask(__name__)
app.secret_key = "of the tests"
protoo = Protoo(app)
protoo.use("/chat", room_handler(protoo))
protoo.use("/ice", ice_servers(protoo))


@app.get("/as/<username>")
def page(username):
    session["username"] = username
    return '<script src="/protoo/protoo.js"></script>'
"""

#: Variables that the snippet needs.
PRELUDE = """
const { Mesh } = await import("/protoo/protoo-mesh.mjs");
const client = new protoo.Client();
const iceServers = [];
const shown = new Map();
const show = (peer, stream, { hasPicture, connectionState }) =>
  shown.set(peer.username, hasPicture && connectionState === "connected");
const hide = ({ username }) => shown.delete(username);
const showText = () => {};
let own;
const showOwn = (stream) => (own = stream);
let endedBecause;
const hangUp = (cause, reason) => (endedBecause = reason);
"""

#: Whether the pictures of all others have arrived, over open connections.
CONNECTED = """(count) => shown.size === count && [...shown.values()].every(Boolean) &&
    own().getTracks().length === 2"""


@pytest.fixture
def url(tmp_path):
    (tmp_path / "meeting.py").write_text(SITE, encoding="utf-8")
    server = subprocess.Popen(
        [sys.executable, "-m", "protoo_flask", "meeting:app", "--port", "0"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines = []
    for line in server.stdout:
        lines.append(line)
        found = re.search(r"http://127\.0\.0\.1:\d+", line)
        if found:
            break
    else:
        pytest.fail("".join(lines))
    yield found.group()
    server.terminate()
    output, _ = server.communicate(timeout=30)
    assert "Traceback" not in output


@pytest.fixture
def chromium(browser):
    # The machine may have no network other than loopback.
    arguments = ["--allow-loopback-in-peer-connection"]
    features = ["--disable-features=WebRtcHideLocalIpsWithMdns"]
    chromium = browser.browser_type.launch(
        executable_path=find_chromium(), args=[*ARGUMENTS, *arguments, *features]
    )
    yield chromium
    chromium.close()


def test_three_members_see_each_other_and_a_leaving_one_disappears(chromium, url):
    text = (ROOT / "docs" / "rooms.md").read_text(encoding="utf-8")
    snippet, _ = re.findall(r"```js\n(.*?)```", text, re.S)
    pages, problems = [], []

    def note(message):
        if message.type == "warning":  # ignores the error about the missing favicon
            problems.append(message.text)

    for username in ("alice", "bob", "carol"):
        page = chromium.new_context(permissions=["camera", "microphone"]).new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", note)
        page.goto(f"{url}/as/{username}")
        names = "Object.assign(window, { client, mesh, shown, own: () => own });"
        page.add_script_tag(content=PRELUDE + snippet + names + "client.connect();", type="module")
        pages.append(page)
        page.wait_for_function("window.mesh?.state === 'in'")
    for page in pages:
        page.wait_for_function(CONNECTED, arg=2, timeout=20_000)
    pages.pop().close()
    for page in pages:
        page.wait_for_function("shown.size === 1")
    assert problems == []
