"""The checks of a cluster, with a real Redis."""

from __future__ import annotations

import socket

import hiredis
import pytest

from protoo_flask.check.cluster_checks import check_address
from protoo_flask.cluster.connection import pack
from protoo_flask.settings import Settings

from ..cluster.redis_servers import RedisServer, find_port
from .test_checks import config, make_subject

KEY = "6f1c2d0e9b8a47535d7e0c1f2a3b4c5d"


@pytest.fixture
def start_redis(tmp_path):
    servers = []

    def start(*options):
        servers.append(RedisServer(tmp_path, *options))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def check(project, url, **values):
    project.write(config(PROTOO_CLUSTER_URL=url, **values))
    return project.check()


def test_workers_with_a_cluster_are_fine(project, start_redis):
    project.save("gunicorn.conf.py", 'worker_class = "gevent"\nworkers = 4')
    assert check(project, start_redis().url).codes == []


def test_a_redis_that_cannot_be_reached_is_an_error(project):
    outcome = check(project, f"redis://:hidden@127.0.0.1:{find_port()}/0")
    assert outcome.codes == ["redis-unusable"]
    assert outcome.code == 1
    assert "hidden" not in outcome.output


def test_something_else_than_redis_is_an_error(project, start_redis):
    url = start_redis("--requirepass", "x").url
    outcome = check(project, url)
    assert outcome.codes == ["redis-unusable"]
    assert "wants a password" in outcome.output


def test_a_right_that_is_missing_is_named(project, start_redis):
    server = start_redis()
    rule = "on >pass ~protoo:* &* +@all -publish"
    assert ask(server, "ACL", "SETUSER", "site", *rule.split()) == b"OK"
    outcome = check(project, server.url.replace("://", "://site:pass@"))
    assert outcome.codes == ["redis-rights"]
    assert "publish" in outcome.output


def test_a_redis_that_throws_keys_away_is_warned_of(project, start_redis):
    server = start_redis("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
    outcome = check(project, server.url)
    assert outcome.codes == ["redis-evicts"]
    assert outcome.code == 0
    assert project.check("--strict").code == 1


@pytest.mark.parametrize("database", [0, 3])
def test_keys_of_others_need_a_key_of_the_cluster(project, start_redis, database):
    server = start_redis()
    ask(server, "SELECT", str(database))
    ask(server, "SET", "cache:1", "x", database=database)
    ask(server, "SET", "protoo:check", "x")
    assert check(project, server.url).codes == ["redis-shared"]
    assert check(project, server.url, PROTOO_CLUSTER_KEY=KEY).codes == []


def test_keys_of_ones_own_are_those_of_nobody_else(project, start_redis):
    server = start_redis()
    ask(server, "SET", "shop:x", "x")
    assert check(project, server.url, PROTOO_CLUSTER_PREFIX="shop").codes == []


def test_a_weak_key_of_the_cluster_is_an_error(project, start_redis):
    outcome = check(project, start_redis().url, PROTOO_CLUSTER_KEY="change me please")
    assert outcome.codes == ["cluster-key-weak"]


def test_nothing_is_left_in_redis(project, start_redis):
    server = start_redis()
    assert check(project, server.url).codes == []
    assert ask(server, "KEYS", "*") == []


@pytest.mark.parametrize(
    ("url", "codes"),
    [
        ("redis://localhost/0", []),
        ("redis://[::1]:6379/0", []),
        ("unix:///run/redis.sock", []),
        ("redis://10.0.0.1/0", ["redis-without-password", "redis-without-tls"]),
        ("redis://u:p@10.0.0.1/0", ["redis-without-tls"]),
        ("rediss://10.0.0.1/0", ["redis-without-password"]),
        ("rediss://u:p@10.0.0.1/0", []),
        ("rediss://10.0.0.1/0?password=x", []),
        (
            "redis+sentinel://localhost:1,10.0.0.1:2/m",
            ["redis-without-password", "redis-without-tls"],
        ),
        ("redis+sentinel://localhost:1,127.0.0.1:2/m", []),
    ],
)
def test_a_redis_at_another_host_needs_a_password_and_tls(url, codes):
    subject = make_subject(Settings(cluster_url=url))
    assert [finding.code for finding in check_address(subject)] == codes


def ask(server, *command, database=0):
    reader = hiredis.Reader()
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        for words in (["SELECT", str(database)], command):
            sock.sendall(pack(*words))
            while (reply := reader.gets()) is False:
                reader.feed(sock.recv(1000))
    return reply
