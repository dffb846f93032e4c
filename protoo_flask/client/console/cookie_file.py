"""Cookies in a file, as ``curl -c`` writes it, and as extensions of browsers do."""

from __future__ import annotations

import http.cookiejar
import io
import re
from pathlib import Path

#: Python before 3.10 takes these lines for comments. The cookie of a Flask session is in one.
_HTTP_ONLY = re.compile(r"^#HttpOnly_", re.MULTILINE)
#: curl has 0 for "until the browser is closed", which is long ago for Python.
_NO_EXPIRY = re.compile(r"^((?:[^\t\n]*\t){4})0(?=\t)", re.MULTILINE)
#: Python keeps the cookies of a host without a dot, as localhost, under a name that ends so.
_NO_DOT = re.compile(r"^([^#.:\t\n]+)(?=\t)", re.MULTILINE)


def load_cookies(path: str) -> http.cookiejar.MozillaCookieJar:
    """Return the cookies of a file in Netscape's format.

    :raises OSError: when the file cannot be read, or has another format.
    :raises ValueError: when it is no text.
    """
    text = Path(path).read_text(encoding="utf-8")
    text = _NO_DOT.sub(r"\1.local", _NO_EXPIRY.sub(r"\1", _HTTP_ONLY.sub("", text)))
    jar = http.cookiejar.MozillaCookieJar()
    # What load() calls with the open file, for its subclasses to define: a copy of the cookies in
    # a second file is no place for them.
    jar._really_load(io.StringIO(text), path, True, False)  # type: ignore[attr-defined]
    return jar
