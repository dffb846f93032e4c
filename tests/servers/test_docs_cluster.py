"""docs/cluster.md tells the truth: a site works with the rights in Redis that the page names."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
from pathlib import Path

import pytest

from protoo_flask.settings import CLUSTER_SCHEMES, FOREIGN_NAMES, Settings, check_setting

from ..cluster.redis_servers import RedisServer
from .clients import Site, eventually
from .cluster_site import URL
from .processes import ROOT, start
from .test_outside_of_workers import COMMAND, MAX_TRIES, Answering, run_job

PAGE = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
PACKAGE = ROOT / "protoo_flask" / "cluster"

#: The words of the rule for the user of Redis.
ACL = re.search("<!-- acl -->\n```\n(.*?)```", PAGE, re.DOTALL).group(1).split()
ALLOWED = {word[1:].lower() for word in ACL if word.startswith("+")}


@pytest.fixture
def redis_server(tmp_path):
    """A Redis where only the user of the page may log in."""
    server = RedisServer(tmp_path)
    assert server.ask(*ACL) == "OK"
    yield server
    server.stop()


def test_a_site_works_with_the_rights_of_the_page_and_uses_no_others(redis_server):
    url = redis_server.url.replace("//", "//site:a-long-password@")
    server = start("gunicorn -w 2", COMMAND, **{URL: url})
    try:
        use_everything(Site(server.port), url)
    finally:
        server.stop()
    assert server.complaints() == []
    assert "away" not in server.output()
    assert redis_server.ask("ACL", "LOG") == ""
    used = {
        line.split(":")[0].partition("_")[2]
        for line in redis_server.ask("INFO", "commandstats").split()
        if line.startswith("cmdstat_")
    }
    used -= {"acl|log", "acl|setuser", "info", "acl"}  # of this test
    assert used <= ALLOWED


class _Redis:
    def __init__(self, url):
        self.url = url


def use_everything(site, url):
    """Have two users on two workers talk and meet, run a job, and kill a worker."""
    with contextlib.ExitStack() as stack:
        alice = stack.enter_context(site.connect("alice"))
        pid = alice.request("get", "/pid")["data"]["pid"]
        for _ in range(MAX_TRIES):
            bob = site.connect("bob")
            if bob.request("get", "/pid")["data"]["pid"] != pid:
                break
            bob.close()
        state = alice.request("subscribe", "/presence/bob")["data"]
        while not state["online"]:
            # Her worker may still have to hear that he is at the other one.
            state = alice.expect("presence")["data"]
        assert bob.request("publish", "/presence", {"status": "away"})["status"] == 200
        assert alice.expect("presence")["data"]["status"] == "away"
        assert bob.request("session", "/chat/rooms/7")["status"] == 200
        assert alice.request("session", "/chat/rooms/7")["status"] == 200
        assert bob.expect("join")["data"]["peer"]["username"] == "alice"
        talking = Answering(bob)
        assert run_job(_Redis(url), "threads", "ask") == [{"status": 200, "data": {"n": 1}}]
        os.kill(talking.pid, signal.SIGKILL)
        eventually(lambda: list(json.loads(site.http("GET", "/peers").text)), ["alice"])
        talking.close()


def test_the_page_allows_no_command_that_the_code_does_not_have():
    code = "".join(path.read_text(encoding="utf-8") for path in PACKAGE.glob("*.py"))
    words = {word.lower() for word in re.findall(r"[\"'\\s]([A-Z]{3,})[\"'\\s]", code)}
    # These are sent by redis-py, which logs in.
    words |= {"hello", "auth", "select", "ping"}
    for command in ALLOWED:
        assert set(command.split("|")) <= words, command


def test_the_settings_on_the_page_are_those_of_the_code():
    rows = dict(re.findall(r"^\| `(PROTOO_(?:CLUSTER|NODE)\w+)` \| `(.*?)` \|", PAGE, re.MULTILINE))
    assert {name: eval(value) for name, value in rows.items()} == {
        name: value
        for name, value in Settings().to_config().items()
        if name.startswith(("PROTOO_CLUSTER", "PROTOO_NODE"))
    }
    assert FOREIGN_NAMES["message_queue"] == "cluster_url"


def test_the_urls_on_the_page_can_work():
    urls = re.findall(r"`((?:{})://.*?)`".format("|".join(map(re.escape, CLUSTER_SCHEMES))), PAGE)
    assert len(urls) >= 4
    for url in urls:
        if not url.endswith("://"):
            check_setting("cluster_url", re.sub(r"[\[\]]", "", url))


def test_the_settings_of_redis_on_the_page_are_accepted(tmp_path):
    block = re.search("```\n# redis.conf\n(.*?)```", PAGE, re.DOTALL).group(1)
    lines = [line.partition("#")[0].strip() for line in block.splitlines()]
    options = []
    for name, _, value in (line.partition(" ") for line in lines):
        values = [value.strip('"')] if value.startswith('"') else value.split()
        options += [f"--{name}", *values]
    server = RedisServer(tmp_path, *options)
    try:
        assert server.ask("CONFIG", "GET", "maxmemory-policy").split() == [
            "maxmemory-policy",
            "noeviction",
        ]
        assert "pubsub 67108864 16777216 10" in server.ask(
            "CONFIG", "GET", "client-output-buffer-limit"
        )
    finally:
        server.stop()


def test_the_python_on_the_page_compiles():
    for source in re.findall("```python\n(.*?)```", PAGE, re.DOTALL):
        compile(source.replace("   app.config", "app.config"), "docs/cluster.md", "exec")


def test_every_file_that_the_page_links_to_exists():
    for target in re.findall(r"\]\(([^)#]+)", PAGE):
        assert (Path(ROOT, "docs") / target).exists(), target
