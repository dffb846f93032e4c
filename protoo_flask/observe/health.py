"""The health of a worker, for whatever starts workers and sends clients to them.

=====================  ==============================  ======================================
the worker             :func:`liveness`                :func:`readiness`
=====================  ==============================  ======================================
serves clients         200                             200
has lost its cluster   200: a new process would have   200: the peers of the worker go on,
                       lost it, too                    and no other worker is better off
is draining            200: it must not be killed      503: new clients belong elsewhere
is closed              200                             503
hangs                  no answer in time               no answer in time
=====================  ==============================  ======================================

Neither asks the network, a database or Redis, so neither blocks.
"""

from __future__ import annotations

from typing import Any

from flask import Response, current_app, jsonify

from ..core.errors import UsageError
from ..site.site import Site

OK, DRAINING, CLOSED = "ok", "draining", "closed"

#: The state of a cluster that this process has not joined yet: no client has come.
NOT_JOINED = "not joined"


def liveness() -> Response:
    """View: whether this process answers at all. Always 200.

    ::

        app.add_url_rule("/live", view_func=liveness)
    """
    return _answer(200, _describe())


def readiness() -> Response:
    """View: whether this process takes new clients. 200, or 503 while it is draining or closed.

    ::

        app.add_url_rule("/ready", view_func=readiness)
    """
    health = _describe()
    return _answer(200 if health["status"] == OK else 503, health)


def _describe() -> dict[str, Any]:
    site = current_app.extensions.get("protoo")
    if not isinstance(site, Site):
        raise UsageError(f"{current_app!r} has no Protoo: call protoo.init_app(app)")
    is_draining = site.is_draining
    status = CLOSED if site.is_closed else DRAINING if is_draining else OK
    return {
        "status": status,
        "draining": is_draining,
        "peers": len(site.local_peers()),
        "cluster": _describe_cluster(site),
    }


def _describe_cluster(site: Site) -> str | None:
    """Return the state of the cluster; ``None``: the site has none."""
    if not site.is_clustered:
        return None
    membership = site.membership
    return NOT_JOINED if membership is None else membership.cluster.status


def _answer(status: int, health: dict[str, Any]) -> Response:
    response = jsonify(health)
    response.status_code = status
    response.headers["Cache-Control"] = "no-store"
    return response
