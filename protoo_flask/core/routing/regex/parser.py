"""Python's own parser of regular expressions, from its place in this version of Python."""

import sys

if sys.version_info >= (3, 11):
    from re import _constants as op
    from re import _parser as parser
else:  # pragma: no cover
    import sre_constants as op
    import sre_parse as parser

__all__ = ["op", "parser"]
