"""The callers of the package."""

from __future__ import annotations

from protoo_flask.core.callers import find_caller, find_calling_line


def test_the_caller_is_the_line_of_the_site():
    function = test_the_caller_is_the_line_of_the_site
    assert find_calling_line() == f"{__file__}:{function.__code__.co_firstlineno + 2}"


def test_the_caller_is_the_innermost_frame_of_the_site():
    def call():
        return find_caller().f_code.co_name

    assert call() == "call"
