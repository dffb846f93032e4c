"""Findings: what a check has to say, and the table of all that there are.

The code of a finding is stable: scripts may look for it, and docs/deployment.md explains it.
"""

from __future__ import annotations

from typing import NamedTuple

#: The levels, the most severe one first.
ERROR, WARNING, NOTE = LEVELS = ("error", "warning", "note")

#: ``{code: (level, where the documentation explains it)}``.
KINDS = {
    # the settings
    "setting-refused": (ERROR, "README.md#settings"),
    "setting-unknown": (WARNING, "README.md#settings"),
    "setting-only-in-environment": (WARNING, "README.md#settings"),
    "debug": (ERROR, "docs/deployment.md#development"),
    "testing": (WARNING, "docs/flask.md"),
    "nothing-registered": (WARNING, "docs/routing.md"),
    "limit-off": (NOTE, "docs/limits.md"),
    "compression-memory": (NOTE, "docs/limits.md"),
    "compression-exceeds-memory": (WARNING, "docs/limits.md"),
    # the server
    "server-unknown": (NOTE, "docs/deployment.md#gunicorn-with-the-gevent-worker"),
    "gunicorn-unreadable": (WARNING, "docs/deployment.md#before-you-deploy"),
    "worker-class": (ERROR, "docs/deployment.md#servers-that-cannot-work"),
    "workers-without-cluster": (ERROR, "docs/cluster.md#setting-it-up"),
    "preload-unpatched": (WARNING, "docs/deployment.md#gevents-own-server"),
    "tls-in-process": (WARNING, "docs/deployment.md#tls-in-the-process"),
    "descriptors": (WARNING, "docs/deployment.md#gunicorn-with-the-gevent-worker"),
    "keepalive-delays-restart": (NOTE, "docs/deployment.md#gunicorn-with-the-gevent-worker"),
    "drain-cut-off": (WARNING, "docs/deployment.md#gunicorn-with-the-gevent-worker"),
    "driver-blocks": (WARNING, "docs/deployment.md#databases"),
    "sqlite-blocks": (NOTE, "docs/deployment.md#databases"),
    # the proxy, and pages of other sites
    "proxy-unknown": (WARNING, "docs/deployment.md#addresses-of-clients"),
    "addresses-of-proxy": (ERROR, "docs/deployment.md#addresses-of-clients"),
    "pings-too-rare": (WARNING, "docs/deployment.md#nginx"),
    "origins-all": (ERROR, "docs/authorization.md#pages-of-other-origins"),
    "origin-of-anybody": (WARNING, "docs/authorization.md#pages-of-other-origins"),
    "origin-without-tls": (WARNING, "docs/authorization.md#pages-of-other-origins"),
    # secrets
    "secret-key-missing": (ERROR, "docs/authorization.md#who-may-connect"),
    "secret-key-weak": (ERROR, "docs/threat-model.md#the-site-itself"),
    "cluster-key-weak": (ERROR, "docs/cluster.md#security"),
    "turn-secret-weak": (ERROR, "docs/ice.md"),
    "turn-password": (WARNING, "docs/ice.md"),
    # sessions
    "cookie-not-secure": (WARNING, "docs/threat-model.md#the-site-itself"),
    "cookie-readable": (WARNING, "docs/threat-model.md#the-site-itself"),
    "cookie-samesite-none": (WARNING, "docs/threat-model.md#a-page-of-another-site"),
    "cookie-samesite-missing": (WARNING, "docs/threat-model.md#a-page-of-another-site"),
    "connections-outlive-sessions": (NOTE, "docs/authorization.md#how-long-they-may-stay"),
    "sessions-cut-connections": (
        WARNING,
        "docs/deployment.md#long-connections-and-short-sessions",
    ),
    # the cluster
    "redis-unusable": (ERROR, "docs/cluster.md#logs"),
    "redis-rights": (ERROR, "docs/cluster.md#rights-acl"),
    "redis-evicts": (WARNING, "docs/cluster.md#redis"),
    "redis-shared": (WARNING, "docs/cluster.md#security"),
    "redis-without-password": (WARNING, "docs/cluster.md#security"),
    "redis-without-tls": (WARNING, "docs/cluster.md#security"),
}


class Finding(NamedTuple):
    """One thing that is unsafe, or will not work.

    :ivar code: a key of :data:`KINDS`.
    :ivar problem: a sentence: what is wrong.
    :ivar remedy: a sentence: what to do.
    """

    code: str
    problem: str
    remedy: str

    @property
    def level(self) -> str:
        """One of :data:`LEVELS`."""
        return KINDS[self.code][0]

    @property
    def docs(self) -> str:
        """A file of the repository, and the heading in it."""
        return KINDS[self.code][1]
