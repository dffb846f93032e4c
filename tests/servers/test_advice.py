"""Advice in the log about processes and sessions, where an answer alone would mislead."""

from __future__ import annotations

import re
import subprocess
import sys

from . import sites
from .clients import Site
from .processes import KINDS, ROOT, SITES, start

SEVERAL = r"WARNING in advice: several worker processes serve this site \(this one is (\d+)\)"
NOBODY = "no client has ever connected to this process"


def test_several_workers_are_warned_of_once_in_each(tmp_path):
    command, stop_signal = KINDS["gunicorn"]
    server = start(
        "gunicorn -w 2",
        [*command, "-w", "2"],
        stop_signal=stop_signal,
        **{sites.DATABASE: str(tmp_path / "database")},
    )
    try:
        site = Site(server.port)
        for number in range(10):
            with site.connect("alice", f"a{number}"):
                found = server.wait_for_output(SEVERAL)
        assert "gunicorn --workers 1 (-w 1, or WEB_CONCURRENCY=1)" in found
        pids = re.findall(SEVERAL, server.output())
        assert len(set(pids)) == len(pids) <= 2
    finally:
        server.stop()
    assert server.complaints() == []


def test_several_workers_are_warned_of_also_if_nobody_is_let_in(tmp_path):
    command, stop_signal = KINDS["gunicorn"]
    server = start(
        "gunicorn with WEB_CONCURRENCY",
        command,
        stop_signal=stop_signal,
        **{sites.DATABASE: str(tmp_path / "database"), "WEB_CONCURRENCY": "2"},
    )
    try:
        assert Site(server.port).knock().status == 403
        server.wait_for_output(SEVERAL)
    finally:
        server.stop()


def test_one_process_is_not_warned_of(server, site, alice):
    with site.connect(alice):
        assert not re.search(SEVERAL, server.output())


def test_a_site_without_a_secret_key_says_so_in_its_log(server, site_at):
    keyless = site_at("/keyless")
    for ask in (keyless.knock, lambda: keyless.http("GET", "/protoo")):
        answer = ask()
        assert answer.status == 500
        assert answer.text == "nobody can log in: this site has no sessions, and its log tells why"

    server.wait_for_output("app.secret_key is not set")
    lines = [line for line in server.output().splitlines() if "app.secret_key is not" in line]
    assert len([line for line in lines if "ERROR in advice: cannot authorize: " in line]) == 1


def test_views_of_a_server_without_clients_are_not_warned(server, site_at):
    unvisited = site_at("/unvisited")

    assert unvisited.get("/peers") == []
    assert unvisited.post("/disconnect/alice") == "0"
    assert NOBODY not in server.output(server.first_line)


def test_a_shell_is_told_that_it_serves_nobody(tmp_path):
    shell = subprocess.run(
        [sys.executable, "-m", "flask", "shell"],
        cwd=ROOT,
        env={
            "FLASK_APP": SITES,
            "HOME": str(tmp_path),
            "PATH": "",
            sites.DATABASE: str(tmp_path / "database"),
        },
        input="protoo = app.extensions['protoo'].protoo\n"
        "protoo.peers(), protoo.peer('alice', 'a1'), protoo.disconnect('alice')\n",
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert "([], None, 0)" in shell.stdout
    assert shell.stderr.count(NOBODY) == 1
