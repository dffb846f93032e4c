"""Sites whose WSGI middleware or code gets in the way of a handshake, one below each prefix."""

from __future__ import annotations

from typing import Any, Callable

from flask import Flask, Request, Response, request, request_started
from flask.sessions import SecureCookieSessionInterface
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.lint import LintMiddleware

from protoo_flask import Protoo

# Middlewares ------------------------------------------------------------------------


class LimitedInput:
    """An input that counts, as middlewares have it that limit the size of uploads."""

    def __init__(self, original: Any) -> None:
        self._original = original
        self.size = 0

    def read(self, *args: Any) -> bytes:
        return self._count(self._original.read(*args))

    def readline(self, *args: Any) -> bytes:
        return self._count(self._original.readline(*args))

    def __iter__(self) -> Any:
        return map(self._count, self._original)

    def _count(self, data: bytes) -> bytes:
        self.size += len(data)
        assert self.size < 1_000_000
        return data


class WrappedSocket:
    """A socket that an agent for measurements has wrapped."""

    def __init__(self, original: Any) -> None:
        self._original = original

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)


def limit_input(app: Any) -> Any:
    def call(environ: Any, start_response: Any) -> Any:
        environ["wsgi.input"] = LimitedInput(environ["wsgi.input"])
        return app(environ, start_response)

    return call


def limit_input_in_another_greenlet(app: Any) -> Any:
    import gevent

    def call(environ: Any, start_response: Any) -> Any:
        environ["wsgi.input"] = LimitedInput(environ["wsgi.input"])
        return gevent.spawn(app, environ, start_response).get()

    return call


def copy_environ(app: Any) -> Any:
    return lambda environ, start_response: app(dict(environ), start_response)


def drop_keys_of_servers(app: Any) -> Any:
    def call(environ: Any, start_response: Any) -> Any:
        kept = {key: environ[key] for key in environ if not key.startswith(("gun", "werk"))}
        return app(kept, start_response)

    return call


def wrap_socket(app: Any) -> Any:
    def call(environ: Any, start_response: Any) -> Any:
        for key in ("gunicorn.socket", "werkzeug.socket"):
            if key in environ:
                environ[key] = WrappedSocket(environ[key])
        return app(environ, start_response)

    return call


def note_status(app: Any) -> Any:
    def call(environ: Any, start_response: Any) -> Any:
        def note(status: str, headers: Any, exc_info: Any = None) -> Any:
            return start_response(status, [*headers, ("X-Noted", status[:3])], exc_info)

        return app(environ, note)

    return call


def collect_result(app: Any) -> Any:
    """Iterate over the result and close it, as the protocol says."""

    def call(environ: Any, start_response: Any) -> Any:
        result = app(environ, start_response)
        try:
            return list(result)
        finally:
            if hasattr(result, "close"):
                result.close()

    return call


MIDDLEWARES: dict[str, Callable[[Any], Any]] = {
    "lint": LintMiddleware,
    "limit": limit_input,
    "another-greenlet": limit_input_in_another_greenlet,
    "copy": copy_environ,
    "drop": drop_keys_of_servers,
    "socket": wrap_socket,
    "note": note_status,
    "collect": collect_result,
}

# Code that reads the body ---------------------------------------------------------------


def read_body() -> None:
    assert request.get_data() == b""
    assert not request.form
    assert request.get_json(silent=True) is None


def before_request(app: Flask, protoo: Protoo) -> None:
    app.before_request(read_body)


def preprocessor(app: Flask, protoo: Protoo) -> None:
    app.url_value_preprocessor(lambda endpoint, values: read_body())


def started(app: Flask, protoo: Protoo) -> None:
    request_started.connect(lambda app: read_body(), app, weak=False)


def session_interface(app: Flask, protoo: Protoo) -> None:
    class Reading(SecureCookieSessionInterface):
        def open_session(self, app: Flask, request: Request) -> Any:
            assert request.stream.read() == b""
            return super().open_session(app, request)

    app.session_interface = Reading()


def authorizer(app: Flask, protoo: Protoo) -> None:
    add_authorizer(protoo, read_body)


READERS: dict[str, Callable[[Flask, Protoo], None]] = {
    "before-request": before_request,
    "preprocessor": preprocessor,
    "request-started": started,
    "session": session_interface,
    "authorizer": authorizer,
}

# The class of the app's responses ----------------------------------------------------------


class SiteResponse(Response):
    """Answers of a site, as Flask allows in ``app.response_class``."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.headers["X-Site"] = "yes"

    def __call__(self, environ: Any, start_response: Any) -> Any:
        assert self.headers["X-Site"] == "yes"
        return super().__call__(environ, start_response)


def response_class(app: Flask, protoo: Protoo) -> None:
    app.response_class = SiteResponse

    @app.after_request
    def set_cookie(response: Response) -> Response:
        assert isinstance(response, SiteResponse)
        response.set_cookie("seen", "yes")
        return response


# The sites ------------------------------------------------------------------------------


def add_authorizer(protoo: Protoo, first: Callable[[], None] = lambda: None) -> None:
    @protoo.authorize
    def authorize() -> Any:
        first()
        return request.args["username"], "a1"


def create_site(name: str) -> tuple[Flask, Protoo]:
    app = Flask(name)
    app.secret_key = f"secret of {name}"
    protoo = Protoo()

    @protoo.get("/echo")
    def echo(req: Any, next: Any) -> None:
        req.reply(200, "OK", req.data)

    @app.get("/hello")
    def hello() -> str:
        return f"hello from {name}"

    return app, protoo


def create_app() -> Flask:
    mounts = {}
    for name, middleware in MIDDLEWARES.items():
        app, protoo = create_site(name)
        add_authorizer(protoo)
        protoo.init_app(app)
        app.wsgi_app = middleware(app.wsgi_app)
        mounts[f"/{name}"] = app
    for name, change in {**READERS, "response-class": response_class}.items():
        app, protoo = create_site(name)
        change(app, protoo)
        if protoo.authorizer is None:
            add_authorizer(protoo)
        protoo.init_app(app)
        mounts[f"/{name}"] = app
    main = Flask("main")
    main.wsgi_app = DispatcherMiddleware(main.wsgi_app, mounts)
    return main
