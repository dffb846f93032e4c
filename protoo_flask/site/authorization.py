"""Authorization of a handshake: the origin of the page, and the user that the site names.

Runs in the Flask request of the handshake, before anything is upgraded, so that a
refusal is an ordinary HTTP response with a status and a readable body.
"""

from __future__ import annotations

import secrets
from typing import Any, Callable, NamedTuple

from flask import Request, current_app, session
from flask import request as flask_request
from flask.sessions import NullSession

from ..core.errors import Reject, UsageError
from ..core.excerpts import excerpt, excerpt_of
from ..core.exits import is_contained
from ..core.functions import name_function
from ..core.names import MAX_NAME_LENGTH, to_name, to_name_or_none
from ..core.peers.directory import Identity
from ..origins import Origin, allowed_origin, origin_of_url, page_scheme, parse_origin
from ..settings import Settings
from ..transport.websocket.handshake import asks_for_upgrade
from .contexts import REPEATED

Authorizer = Callable[[], Any]

#: Longest uuid that a client may give itself: characters. Room for a UUID with a
#: prefix; a bound, because it is kept and repeated to others.
MAX_UUID_LENGTH = 128


def check_origin(request: Request, settings: Settings) -> None:
    """Refuse a page of a foreign origin: it would act with the user's cookies.

    WebSockets know no same-origin policy (RFC 6455 section 10.2): the server is the one
    to check. Native applications send no Origin header, and no cookies of a browser.

    :raises Reject: 403, saying which settings matter.
    """
    if not is_allowed_origin(request, settings):
        theirs = excerpt(find_origin(request) or "")
        ours = f"{page_scheme(request.scheme)}://{excerpt(request.host)}"
        raise Reject(
            403,
            f"origin {theirs} is not allowed: this site is {ours} (behind a proxy, it must pass "
            "the Host header on), and PROTOO_ALLOWED_ORIGINS does not name it",
        )


def is_allowed_origin(request: Request, settings: Settings) -> bool:
    """Whether the page that sent a request may act with its user's cookies here."""
    origin = find_origin(request)
    allowed = settings.allowed_origins
    if origin is None or allowed == "*":
        return True
    theirs = parse_origin(origin)
    if theirs is None:
        return False
    return _is_own_origin(theirs, request) or theirs in map(allowed_origin, allowed or ())


def find_origin(request: Request) -> str | None:
    """Return the origin, untrusted, of the page that sent a request; ``None``: no page.

    In a plain GET to the page's own origin, a browser leaves the header out that the handshake
    has. The plain GET must be told the same as the handshake, so its Referer counts.
    """
    origin = request.headers.get("Origin")
    if origin is not None or asks_for_upgrade(request.environ):
        return origin
    if "text/html" in request.headers.get("Accept", ""):
        return None  # a user has followed a link: the page with the link does not connect
    return origin_of_url(request.headers.get("Referer", ""))


def _is_own_origin(theirs: Origin, request: Request) -> bool:
    own = parse_origin(f"{request.scheme}://{request.host}")
    if theirs == own:
        return True
    # Behind a proxy that ends TLS without telling, the site looks like http from here.
    # In the other direction, a page loaded over http must not reach an https site.
    looks_like_http = own is not None and own.scheme == "http"
    return looks_like_http and theirs == parse_origin(f"https://{request.host}")


class Identification(NamedTuple):
    """The site's answer: user and device; ``uuid`` is ``None`` when it names no device."""

    username: str
    uuid: str | None
    data: Any


def identify(authorizer: Authorizer | None, settings: Settings) -> Identity:
    """Ask the site for the user and the device; make up a name for an unnamed device.

    :raises: as :func:`ask_site`.
    """
    username, uuid, data = ask_site(authorizer, settings)
    return Identity(username, make_uuid() if uuid is None else uuid, data)


def ask_site(authorizer: Authorizer | None, settings: Settings) -> Identification:
    """Ask the site for the user, and maybe the device, of this handshake.

    :raises Reject: when the authorizer returns ``None``, or raises it.
    :raises HTTPException: when the authorizer does (``abort(401)``).
    :raises UsageError: when it returns something else than it may.
    """
    if authorizer is None:
        answer: Any = _authorize_by_session(settings)
    else:
        answer = _call(authorizer)
    if answer is None:
        raise Reject(403, "not authorized")
    if not isinstance(answer, tuple) or len(answer) not in (2, 3):
        raise UsageError(
            "the function given to @protoo.authorize returns (username, uuid), "
            f"(username, uuid, data), or None to refuse; it returned "
            f"{excerpt_of(answer)}"
        )
    username, uuid = answer[:2]
    if username is None or username == "":
        raise UsageError(
            f"the function given to @protoo.authorize returned {excerpt_of(answer)}, which has no "
            "username; return None to refuse"
        )
    username = to_name(username, "the username of @protoo.authorize")
    uuid = None if uuid is None or uuid == "" else to_name(uuid, "the uuid of @protoo.authorize")
    _check_lengths(username, uuid)
    return Identification(username, uuid, answer[2] if len(answer) == 3 else None)


def ask_again(authorizer: Authorizer | None, settings: Settings) -> Identification:
    """Ask the site for the user of a handshake that is repeated, as an interval has passed.

    What a view has given to ``protoo.serve(ws, ...)`` still stands.

    :raises: as :func:`ask_site`.
    """
    given = flask_request.environ.get(REPEATED)
    if not isinstance(given, Given):
        return ask_site(authorizer, settings)
    if given.username is not None:
        return Identification(given.username, given.uuid, given.data)
    asked = ask_site(authorizer, settings)
    return Identification(
        asked.username, given.uuid or asked.uuid, asked.data if given.data is None else given.data
    )


class Given(NamedTuple):
    """What a view has given to ``protoo.serve(ws, ...)``; ``None``: the authorizer decides."""

    username: str | None
    uuid: str | None
    data: Any

    @classmethod
    def check(cls, username: Any, uuid: Any, data: Any) -> Given:
        """Return it as strings.

        :raises UsageError: for a name that is none.
        :raises Reject: 400 for one that is too long.
        """
        username = to_name_or_none(username, "serve(ws, username)")
        uuid = to_name_or_none(uuid, "serve(ws, username, uuid)")
        if username == "":
            raise UsageError('serve(ws, username) was given ""; to refuse, a view calls abort(403)')
        return cls(*_check_lengths(username, uuid or None), data)


def _check_lengths(username: str | None, uuid: str | None) -> tuple[str | None, str | None]:
    if username is not None and len(username) > MAX_NAME_LENGTH:
        raise Reject(400, f"a username has at most {MAX_NAME_LENGTH} characters")
    if uuid is not None and len(uuid) > MAX_UUID_LENGTH:
        raise Reject(400, f"a uuid has at most {MAX_UUID_LENGTH} characters")
    return username, uuid


def _call(authorizer: Authorizer) -> Any:
    try:
        return authorizer()
    except SystemExit as error:
        if not is_contained(error):
            raise
        # As an Exception, it is for Flask to log and to answer. Some servers would end.
        raise UsageError(
            f"{name_function(authorizer)} has called sys.exit(); an authorizer refuses a client "
            "by returning None, or by raising Reject(code, reason)"
        ) from error


class MissingSession:
    """Stands for the session in an app that has none, as it has no secret: nobody can log in."""

    @classmethod
    def find(cls) -> MissingSession | None:
        """Return it for the active request; ``None`` if the app can have sessions."""
        if current_app.secret_key:
            return None
        found = session._get_current_object()  # type: ignore[attr-defined]
        # Some session interfaces need no secret.
        return cls(found) if isinstance(found, NullSession) else None

    def __init__(self, session: NullSession) -> None:
        self._session = session
        self._session.accessed = False

    @property
    def was_asked(self) -> bool:
        """Whether code of the site has looked into it since it was found."""
        return self._session.accessed


def _authorize_by_session(settings: Settings) -> tuple[str, str | None] | None:
    """Take the user that has logged in to the site, and the device from ``?uuid=``.

    :raises Reject: 403 if nobody has logged in, 500 if nobody can.
    """
    if MissingSession.find() is not None:
        raise Reject(500, "nobody can log in: this site has no sessions, and its log tells why")
    username = session.get(settings.session_key)
    if username is None or username == "":
        raise Reject(403, "not logged in")
    uuid = flask_request.args.get("uuid")
    return to_name(username, f'session["{settings.session_key}"]'), uuid


def make_uuid() -> str:
    """Make up a name for a device that has none."""
    return secrets.token_urlsafe(8)
