"""Settings of gunicorn for this site: `gunicorn -c sample_app/gunicorn.conf.py`."""

import os
import signal

wsgi_app = "sample_app:create_app()"
bind = "0.0.0.0:" + os.environ.get("PORT", "8000")

# A WebSocket stays open for hours. With gevent it costs a few KiB of memory, with the sync worker
# it would occupy a whole process.
worker_class = "gevent"

# A peer can be reached only by the worker that holds its connection. One worker holds them all;
# with two, users on different workers would not see each other.
workers = 1

# worker_connections need not be raised: it is about HTTP requests. A WebSocket leaves gunicorn's
# hands after the handshake. What counts for open pages is `ulimit -n`.

# Only for idle HTTP connections; a WebSocket is kept alive by protoo_flask's own pings. Short,
# because the idle connections of browsers hold up a restart for as long as this.
keepalive = 2

# A worker that has shown no sign of life for so long is killed. With gevent this is about a handler
# that hogs the processor, not about a connection that is merely open: no need to raise it for chat.
timeout = 30

# How long a restart waits for requests in progress. Open pages are told to reconnect at once, and
# send again what was not answered, so there is nothing to gain from a long wait.
graceful_timeout = 5

accesslog = "-" if os.environ.get("ACCESS_LOG") else None


def post_worker_init(worker):
    # In a terminal Ctrl-C reaches every process of its group. Told to end twice, by it and by the
    # master, a gevent worker would end with a traceback; the master alone is enough.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
