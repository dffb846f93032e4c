"""The configuration of one app: its settings are read when they are first needed.

Many sites finish ``app.config`` after ``Protoo(app)``: test suites, and factories that read a
file last. So only the route is fixed by ``init_app()``. A setting that changes too late to be
used is warned of, once.

===================================  =====================  ================================
a setting                            is read                a later change
===================================  =====================  ================================
of the route (``PROTOO_PATH``, ...)  by ``init_app()``      is warned of at the next request
for ICE servers                      at each request        is used
any other                            at the first           is warned of at the next
                                     handshake              handshake
===================================  =====================  ================================

An option of ``Protoo(app, name=...)`` wins, except that a change for ICE servers after the first
handshake is used.
"""

from __future__ import annotations

import dataclasses
import threading
from typing import Any, Mapping

from flask import Flask, request_started

from ..settings import PREFIX, Settings, config_key, find_unknown_keys

#: The settings that the route is registered with.
OF_THE_ROUTE = ("host", "path", "subdomain")

#: The settings that :func:`~protoo_flask.features.ice.middleware.ice_servers` reads itself.
READ_AT_EACH_REQUEST = ("ice_servers", "turn_secret")

#: What the log is told of a key that looks like a setting, with a hint.
UNKNOWN_KEY = "%s is not a setting of this protoo_flask%s"


class Configuration:
    """Reads and checks the settings of an app.

    :param options: those of ``Protoo()``, ``{name of a setting: value}``.
    :ivar at_registration: the settings that the route is registered with.
    :raises UsageError: for a value in ``app.config`` or ``options`` that cannot work.
    """

    def __init__(self, app: Flask, options: Mapping[str, Any]) -> None:
        self.at_registration = Settings.load(app.config, options)
        self._app = app
        self._options = options
        #: The keys that were warned of because there are no such settings.
        self._unknown: set[str] = set()
        self._settings: Settings | None = None
        self._lock = threading.Lock()
        #: ``{key: value}``, as the app's config had it when it was last looked at.
        self._seen: dict[str, Any] = {}
        self._warn_of_unknown_keys()

    def watch(self) -> None:
        """Show the settings in the app's config, and look at changes from now on."""
        self._show(self.at_registration)
        # The config is complete when the first request comes. Without the right path, clients
        # never come to the route, so that no handshake would find the mistake.
        request_started.connect(self._check_route, self._app)

    @property
    def settings(self) -> Settings:
        """The settings, which stay as they are from the first use on.

        :raises UsageError: for a value that cannot work, as often as they are asked for.
        """
        settings = self._settings
        if settings is None:
            # Under threads, the first two requests may come at once.
            with self._lock:
                settings = self._settings
                if settings is None:
                    settings = self._settings = self._read()
        return settings

    def warn_of_late_changes(self) -> None:
        """Log a warning for each setting that has changed since the settings were read."""
        if self._settings is None:
            return  # the first use reads them
        config = self._app.config
        for key, seen in self._seen.items():
            value = config.get(key, seen)
            if value is not seen and value != seen:
                self._seen[key] = value
                self._warn_of_change(key)

    def _read(self) -> Settings:
        settings = Settings.load(self._app.config, self._options)
        self._warn_of_unknown_keys()
        for name in (*OF_THE_ROUTE, *self._options):
            self._warn_if_changed(name)
        registered = {name: getattr(self.at_registration, name) for name in OF_THE_ROUTE}
        settings = dataclasses.replace(settings, **registered)
        self._show(settings)
        for name in READ_AT_EACH_REQUEST:
            del self._seen[config_key(name)]
        return settings

    def _show(self, settings: Settings) -> None:
        """Let the app's config show the settings that are in effect."""
        self._seen = settings.to_config()
        self._app.config.update(self._seen)

    def _check_route(self, app: Flask, **arguments: Any) -> None:
        request_started.disconnect(self._check_route, app)
        for name in OF_THE_ROUTE:
            self._warn_if_changed(name)

    def _warn_if_changed(self, name: str) -> None:
        key = config_key(name)
        seen = self._seen.get(key)
        value = self._app.config.get(key, seen)
        if value != seen:
            self._seen[key] = value
            self._warn_of_change(key)

    def _warn_of_change(self, key: str) -> None:
        # Without its value, which may be a secret.
        name = key[len(PREFIX) :].lower()
        if name in self._options:
            reason = f"the option {name}=... of Protoo() wins"
        elif name in OF_THE_ROUTE:
            registered = getattr(self.at_registration, name)
            reason = (
                f"the route was registered with {registered!r} by Protoo(app) or init_app(app), "
                "so set it before"
            )
        else:
            reason = "the settings were read at the first handshake, so set it before"
        self._app.logger.warning("a change of %s in app.config is ignored: %s", key, reason)

    def _warn_of_unknown_keys(self) -> None:
        for key, meant in find_unknown_keys(self._app.config):
            if key not in self._unknown:
                self._unknown.add(key)
                hint = f"; did you mean {meant}?" if meant else ""
                self._app.logger.warning(UNKNOWN_KEY, key, hint)
