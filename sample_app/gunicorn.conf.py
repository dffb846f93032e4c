"""The gunicorn settings of this site: `gunicorn -c sample_app/gunicorn.conf.py`."""

import os
import signal

wsgi_app = "sample_app:create_app()"
bind = "0.0.0.0:" + os.environ.get("PORT", "8000")

# A WebSocket stays open for hours. With gevent it needs a few KiB of memory. With the sync worker
# it would occupy a whole process.
worker_class = "gevent"

# With REDIS_URL, several workers are one site, one for each core. Without it, users on different
# workers would not see each other, so one worker holds all connections.
workers = int(os.environ.get("WEB_CONCURRENCY", "2")) if os.environ.get("REDIS_URL") else 1

# worker_connections keeps its default: it limits only HTTP requests. gunicorn does not manage a
# WebSocket after the handshake. The limit for open pages is `ulimit -n`.

# For idle HTTP connections only; protoo_flask keeps a WebSocket alive with its own pings. The value
# is small because idle connections of browsers delay a restart by this time.
keepalive = 2

# A worker without a sign of life is killed after this time. With gevent, only a handler that keeps
# the processor busy causes this, never an open connection. So a chat does not need a higher value.
timeout = 30

# A restart waits this long at most. protoo_flask needs its PROTOO_DRAIN_TIMEOUT (7 seconds), in
# which handlers and calls may end and open pages are sent away, and gunicorn 3 seconds more.
graceful_timeout = 10

accesslog = "-" if os.environ.get("ACCESS_LOG") else None


def post_worker_init(worker):
    # In a terminal Ctrl-C reaches every process of the group, and the master stops its workers as
    # well. A gevent worker that gets both signals ends with a traceback. The master is enough.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
