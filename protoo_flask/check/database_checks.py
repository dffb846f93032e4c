"""Checks of database drivers: those that block their thread block all clients of a worker."""

from __future__ import annotations

import sys
from typing import Any, Iterator

from .findings import Finding
from .subject import Subject

#: Drivers that gevent cannot switch, and those to take instead. They are found when the app has
#: imported them, or names them in SQLALCHEMY_DATABASE_URI.
_BLOCKING = {
    "MySQLdb": ("mysqlclient", "PyMySQL: mysql+pymysql://"),
    "pymssql": ("pymssql", "python-tds"),
    "pyodbc": ("pyodbc", "a driver in pure Python"),
    "cx_Oracle": ("cx_Oracle", "oracledb in its thin mode"),
}

#: The drivers that SQLAlchemy takes for a URL without one.
_DEFAULTS = {"mysql": "MySQLdb", "mariadb": "MySQLdb", "postgresql": "psycopg2", "mssql": "pyodbc"}

#: What SQLAlchemy calls them.
_DIALECTS = {"mysqldb": "MySQLdb", "cx_oracle": "cx_Oracle"}


def check_drivers(subject: Subject) -> Iterator[Finding]:
    """Find drivers that wait in C, where gevent cannot switch to other clients."""
    if not subject.uses_greenlets:
        return
    drivers = set(_find_drivers(subject))
    for module, (package, instead) in _BLOCKING.items():
        if module in drivers or module in sys.modules:
            yield Finding(
                "driver-blocks",
                f"the site uses {package}, which gevent cannot switch: while one handler waits for "
                "the database, all clients of the worker wait",
                f"Use {instead}",
            )
    if ("psycopg2" in drivers or "psycopg2" in sys.modules) and not _has_psycogreen(subject):
        yield Finding(
            "driver-blocks",
            "the site uses psycopg2 without psycogreen: while one handler waits for the database, "
            "all clients of the worker wait",
            "Call psycogreen.gevent.patch_psycopg() in post_fork of gunicorn.conf.py, or use "
            "psycopg 3.1 or newer",
        )
    psycopg = sys.modules.get("psycopg")
    version = str(getattr(psycopg, "__version__", "3.1"))
    if version.startswith("3.0"):
        yield Finding(
            "driver-blocks",
            f"the site uses psycopg {version}, which does not cooperate with gevent",
            "Install psycopg 3.1 or newer",
        )


def check_sqlite(subject: Subject) -> Iterator[Finding]:
    """Find SQLite, which is fine for small sites."""
    if subject.uses_greenlets and "sqlite" in set(_find_drivers(subject)):
        yield Finding(
            "sqlite-blocks",
            "the site's database is SQLite, which blocks a worker with all its clients for the "
            "duration of each statement",
            "Fine for a small site; a busy one needs a database server",
        )


def _find_drivers(subject: Subject) -> Iterator[str]:
    """Return the modules of the drivers in the URLs of Flask-SQLAlchemy."""
    config = subject.config
    binds = config.get("SQLALCHEMY_BINDS")
    urls = [config.get("SQLALCHEMY_DATABASE_URI")]
    urls += binds.values() if isinstance(binds, dict) else []
    for url in urls:
        yield from _find_driver(url.get("url") if isinstance(url, dict) else url)


def _find_driver(url: Any) -> Iterator[str]:
    scheme, separator, _ = str(url).partition(":")
    if url is None or not separator:
        return
    database, _, driver = scheme.partition("+")
    yield _DIALECTS.get(driver, driver) or _DEFAULTS.get(database, database)


def _has_psycogreen(subject: Subject) -> bool:
    if subject.gunicorn is not None and "psycogreen" in subject.gunicorn.mentions:
        return True
    extensions = sys.modules.get("psycopg2.extensions")
    wait: Any = getattr(extensions, "get_wait_callback", None)
    return wait is not None and wait() is not None
