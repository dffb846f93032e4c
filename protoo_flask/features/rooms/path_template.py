"""The path template of the rooms: ``/rooms/:room_id``, from which room paths are written."""

from __future__ import annotations

import re
from typing import Any, Mapping
from urllib.parse import quote

from ...core.errors import UsageError

#: Plain segments and whole parameters; a path with patterns could not be written again.
_WRITABLE = re.compile(r"(/(:\w+|[\w.~-]+))+", re.ASCII)
_PARAMETER = re.compile(r":(\w+)")


class PathTemplate:
    """A path with parameters that can be filled in.

    :raises UsageError: for a path with patterns, or without ``:room_id``.

    >>> PathTemplate("/rooms/:room_id").write("/chat", {"room_id": "a b"})
    '/chat/rooms/a%20b'
    """

    def __init__(self, path: Any) -> None:
        if not (
            isinstance(path, str)
            and _WRITABLE.fullmatch(path)
            and "room_id" in _PARAMETER.findall(path)
        ):
            raise UsageError(
                "room_handler(path=...) takes a path of plain segments and whole parameters, one "
                f'of which is :room_id, like "/rooms/:room_id" or "/:team/:room_id", not {path!r}'
            )
        self.path = path

    def write(self, base_path: str, params: Mapping[Any, str]) -> str:
        """Return the path of a room, the same however a client has written it.

        :param base_path: the mount, used as it is: some of its parts may be parameters, for
            which case matters, and others not. It is not known here which are which. Two
            rooms where one was meant are better than one room for two teams.
        :param params: decoded parameters of the request, untrusted.
        """
        filled = _PARAMETER.sub(lambda match: quote(params[match.group(1)], safe=""), self.path)
        return base_path + filled
