"""The version of the package: one number, wherever it is asked for."""

from __future__ import annotations

from importlib.metadata import version

import protoo_flask


def test_the_version_is_that_of_the_installed_package():
    assert protoo_flask.__version__ == version("protoo-flask")
