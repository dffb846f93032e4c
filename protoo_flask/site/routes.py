"""The routes of an app: the WebSocket, and the browser client below it.

They are where the settings say: a path, and a host or a subdomain, as for a blueprint. Each may
have variable parts (``<tenant>.example.org``), which the authorizer finds in
``request.view_args``.
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

from flask import Blueprint, Flask, Response, send_from_directory
from werkzeug.exceptions import SecurityError

from ..core.errors import UsageError
from ..core.wire.dialect import PROTOO
from ..settings import Settings
from .sock_routes import add_sock_route, offer_subprotocols, watch_view
from .views import ENDPOINT, Views

_CLIENT = Path(__file__).resolve().parent.parent / "static"

_VARIABLE = re.compile(r"(<[^>]*>)")


def add_routes(app: Flask, views: Views, settings: Settings) -> None:
    """Register the routes of an app.

    :raises UsageError: when no request would reach them.
    """
    place = _find_place(app, settings)
    blueprint = Blueprint("protoo", __name__)
    path = settings.path
    add_sock_route(blueprint, path, views, place)
    blueprint.add_url_rule(path, "plain_http", views.plain_http, **place)
    # Not the static folder of the blueprint, which no option gives a host.
    blueprint.add_url_rule(f"{path}/<path:filename>", "static", _send_client, **place)
    blueprint.after_request(views.tell_verdict)
    app.register_blueprint(blueprint)
    watch_view(app, ENDPOINT, views)
    offer_subprotocols(app, [PROTOO.subprotocol])


def _send_client(filename: str, **view_args: Any) -> Response:
    """Send a file of the browser client."""
    response = send_from_directory(_CLIENT, filename)
    # Browsers load modules of another origin, as on a host of their own, only with this header.
    response.headers["Access-Control-Allow-Origin"] = "*"
    return response


def _find_place(app: Flask, settings: Settings) -> dict[str, Any]:
    """Return the options of the routes that say on which host they are."""
    host, subdomain = settings.host, settings.subdomain
    if app.url_map.host_matching:
        if subdomain is not None:
            raise UsageError(
                "an app with host_matching knows no subdomains: set PROTOO_HOST to the whole host, "
                f"not PROTOO_SUBDOMAIN to {subdomain!r}"
            )
        if host is None:
            raise UsageError(
                "an app with host_matching needs the host of each route: set PROTOO_HOST, like "
                '"chat.example.org", "localhost:5000" or, for every host, "<host>"'
            )
        return {"host": _check_host(app, _lower(host))}
    if host is not None:
        raise UsageError(
            f"PROTOO_HOST is {host!r}, and this app does not look at hosts: it needs "
            "Flask(..., host_matching=True), or PROTOO_SUBDOMAIN and subdomain_matching"
        )
    if subdomain is not None:
        return {"subdomain": _check_subdomain(app, _lower(subdomain))}
    return {}  # on the default subdomain, like the routes of the site


def _lower(pattern: str) -> str:
    """Return a pattern as hosts are compared with it: in lower case, but not its variables."""
    parts = _VARIABLE.split(pattern)
    return "".join(part if part.startswith("<") else part.lower() for part in parts)


def _check_host(app: Flask, host: str) -> str:
    adapter = _adapt(app, host)
    if adapter is not None and "<" not in host and adapter.server_name != host:
        # Until Flask 3.0, SERVER_NAME wins over the host of the request.
        way_out = ", or remove SERVER_NAME" if app.config["SERVER_NAME"] else ""
        raise UsageError(
            f"PROTOO_HOST is {host!r}, and this Flask takes a request to it for one to "
            f"{adapter.server_name!r}: write that{way_out}"
        )
    return host


def _check_subdomain(app: Flask, subdomain: str) -> str:
    name = _VARIABLE.sub("x", subdomain)
    domain = app.config["SERVER_NAME"] or "localhost"
    adapter = _adapt(app, f"{name}.{domain}" if name else domain)
    # Some releases of Flask match subdomains without subdomain_matching, so it is tried out.
    if adapter is not None and adapter.subdomain != name:
        raise UsageError(
            f"PROTOO_SUBDOMAIN is {subdomain!r}, and this app does not look at subdomains: it "
            'needs Flask(..., subdomain_matching=True), and app.config["SERVER_NAME"], the domain '
            "that they are of, before Protoo(app) or init_app(app)"
        )
    return subdomain


def _adapt(app: Flask, host: str) -> Any:
    """Return the adapter that matches URLs in a request to a host; ``None``: it is not trusted."""
    environ = {
        "REQUEST_METHOD": "GET",
        "HTTP_HOST": host,
        "PATH_INFO": "/",
        "SERVER_NAME": host,
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.input": io.BytesIO(),
        "wsgi.url_scheme": "http",
    }
    try:
        return app.create_url_adapter(app.request_class(environ))
    except SecurityError:
        return None  # TRUSTED_HOSTS names other hosts
