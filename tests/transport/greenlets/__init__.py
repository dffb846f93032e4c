import gevent
import pytest

#: libuv, on Windows, does not count its watchers.
counts_watchers = pytest.mark.skipif(
    "libuv" in gevent.config.loop.__module__, reason="libuv does not count its watchers"
)
