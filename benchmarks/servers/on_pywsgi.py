"""Serves a Flask app with gevent's own server.

python benchmarks/servers/on_pywsgi.py MODULE:NAME PORT
"""

from __future__ import annotations

if __name__ == "__main__":
    from gevent import monkey

    monkey.patch_all()  # before anything else is imported

    import importlib
    import sys

    from gevent.pywsgi import WSGIServer

    module, _, name = sys.argv[1].partition(":")
    app = getattr(importlib.import_module(module), name)
    WSGIServer(("127.0.0.1", int(sys.argv[2])), app, backlog=2048, log=None).serve_forever()
