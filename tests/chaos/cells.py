"""The cells of the campaign: kinds of servers, each with what makes a difference to it."""

from __future__ import annotations

from typing import NamedTuple

#: How sites are served; see :mod:`.servers`.
GUNICORN, PYWSGI, FLASK_RUN, STANDALONE = "gunicorn", "pywsgi", "flask-run", "standalone"

COMPRESSION, TLS, CLUSTER = "compression", "tls", "cluster"


class Cell(NamedTuple):
    """A kind of server and its variants.

    :ivar name: as the command line takes it, ``gunicorn+tls``.
    :ivar workers: servers that are one site by a Redis; 1: without it.
    """

    name: str

    @property
    def server(self) -> str:
        return self.name.partition("+")[0]

    @property
    def is_compressed(self) -> bool:
        return self._has(COMPRESSION)

    @property
    def has_tls(self) -> bool:
        return self._has(TLS)

    @property
    def has_cluster(self) -> bool:
        return self._has(CLUSTER)

    @property
    def workers(self) -> int:
        return 2 if self.has_cluster else 1

    def _has(self, variant: str) -> bool:
        return variant in self.name.split("+")[1:]


#: All of them, in the order in which they are run. The standalone server has no TLS.
MATRIX = [
    Cell(name)
    for name in (
        "gunicorn",
        "gunicorn+compression",
        "gunicorn+tls",
        "gunicorn+cluster",
        "gunicorn+cluster+compression",
        "pywsgi",
        "pywsgi+compression",
        "pywsgi+tls",
        "flask-run",
        "flask-run+compression",
        "flask-run+tls",
        "standalone",
        "standalone+compression",
    )
]
