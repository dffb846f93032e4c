"""``python -m tests.chaos.pywsgi PORT [CERTIFICATE]``: a site on gevent's own server."""

from gevent import monkey

monkey.patch_all()

import signal  # noqa: E402
import sys  # noqa: E402

import gevent  # noqa: E402
from gevent.pywsgi import WSGIServer  # noqa: E402

from .site import create_app  # noqa: E402


def main(port: str, *certificate: str) -> None:
    files = {"certfile": certificate[0], "keyfile": certificate[0]} if certificate else {}
    server = WSGIServer(("127.0.0.1", int(port)), create_app(), log=None, **files)
    # As a site stops it that was told to end: the greenlets get some time.
    gevent.signal_handler(signal.SIGTERM, server.stop, 2)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
