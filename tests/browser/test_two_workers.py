"""Two users on two workers of one site: they chat and call, and a worker is killed."""

from __future__ import annotations

import os
import re
import signal
import sys

import pytest
from playwright.sync_api import expect

from ..cluster.redis_servers import RedisServer
from .conftest import Server
from .pages import (
    PATIENCE,
    call,
    come_back,
    expect_mark,
    expect_presence,
    expect_texts,
    expect_video_plays,
    in_call,
    open_conversation,
    write,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="gunicorn forks")

#: A page comes to either worker by chance: it has not come to the other one after so many reloads
#: once in a million runs.
MAX_RELOADS = 20


class Workers(Server):
    """gunicorn with two workers of the sample app, which are one site by `REDIS_URL`."""

    def __init__(self, folder, redis_url):
        self._log = folder / "access.log"
        #: Whether a worker was killed, which others may not have taken note of at the end.
        self.has_killed = False
        super().__init__(
            folder,
            {},
            ["--access-logfile", str(self._log), "--access-logformat", "%(p)s %(s)s %(r)s"],
            REDIS_URL=redis_url,
        )

    def start(self):
        """Start the server, and wait for both workers."""
        super().start()
        for line in self.log_lines():
            if "Booting worker" in line:
                return

    def kill(self, pid):
        """End a worker without a chance to say goodbye; gunicorn starts another one."""
        self.has_killed = True
        os.kill(pid, signal.SIGKILL)

    @property
    def latest_worker(self):
        """The worker of the page that has connected last: its number of a process."""
        found = re.findall(r"^<?(\d+)>? 101 GET /protoo", self._log.read_text(), re.MULTILINE)
        return int(found[-1])


@pytest.fixture
def server(redis_server, tmp_path):
    server = Workers(tmp_path, redis_server.url)
    server.start()
    yield server
    assert "Traceback" not in server.stop()
    if not server.has_killed:
        assert redis_server.left_keys() == []


@pytest.fixture
def redis_server(tmp_path):
    server = RedisServer(tmp_path)
    yield server
    server.stop()


@pytest.fixture
def users(open_browser, server):
    """Alice and Bob, and the worker that each of them is connected to: two different ones."""
    alice = open_browser("alice")
    workers = [server.latest_worker]
    bob = open_browser("bob")
    for _ in range(MAX_RELOADS):
        if server.latest_worker != workers[0]:
            break
        bob.reload()
        expect(bob.locator("body[data-connected=true]")).to_be_attached()
    workers.append(server.latest_worker)
    assert workers[0] != workers[1]
    return alice, bob, workers


def test_two_users_on_two_workers_chat_and_see_each_other(users):
    alice, bob, _ = users
    for page, username in ((alice, "bob"), (bob, "alice")):
        expect_presence(page, username, "online")
        open_conversation(page, username)
    write(alice, "hello")
    expect_mark(alice, "hello", "delivered")
    write(bob, "hello yourself")
    expect_mark(bob, "hello yourself", "delivered")
    for page in (alice, bob):
        expect_texts(page, ["hello", "hello yourself"])


def test_two_users_on_two_workers_call_each_other(users):
    alice, bob, _ = users
    call(alice, "bob")
    expect(bob.get_by_test_id("ringing")).to_contain_text("alice")
    bob.get_by_test_id("accept-video").click()
    for page in (alice, bob):
        expect(in_call(page)).to_be_visible()
        expect_video_plays(page)
    bob.get_by_test_id("hang-up").click()
    for page in (alice, bob):
        expect(page.get_by_test_id("call")).to_be_hidden()


def test_a_worker_is_killed_and_its_user_goes_on_with_another(users, server):
    alice, bob, workers = users
    for page, username in ((alice, "bob"), (bob, "alice")):
        open_conversation(page, username)
    write(alice, "before")
    expect_mark(alice, "before", "delivered")

    server.kill(workers[1])
    come_back(bob)

    expect_presence(alice, "bob", "online", timeout=PATIENCE)
    write(alice, "after")
    expect_mark(alice, "after", "delivered", timeout=PATIENCE)
    write(bob, "here I am")
    expect_mark(bob, "here I am", "delivered", timeout=PATIENCE)
    for page in (alice, bob):
        expect_texts(page, ["before", "after", "here I am"])


def test_a_call_ends_when_the_worker_of_one_user_is_killed(users, server):
    alice, bob, workers = users
    call(alice, "bob")
    bob.get_by_test_id("accept-video").click()
    for page in (alice, bob):
        expect(in_call(page)).to_be_visible()

    bob.close()  # before the kill, so that nobody comes back for this device
    server.kill(workers[1])

    expect(alice.get_by_test_id("call")).to_be_hidden(timeout=PATIENCE)
    expect_presence(alice, "bob", "offline", timeout=PATIENCE)
