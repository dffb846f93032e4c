"""The pytest plugin of the package, also in a checkout that was installed before there was one."""

from __future__ import annotations

pytest_plugins = ["protoo_flask_pytest"]
