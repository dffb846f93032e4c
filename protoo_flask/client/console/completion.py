"""Completion: the words that may come next in a line of the console."""

from __future__ import annotations

import re

from .commands import WORDS

#: Methods that have a meaning for the middleware of the package.
_METHODS = ("get", "put", "message", "session", "subscribe", "unsubscribe", "publish", "update")
_PATHS = ("/users/", "/presence", "/ice")


class Completion:
    """Learns the methods and paths that were used."""

    def __init__(self) -> None:
        self._methods = dict.fromkeys(_METHODS)
        self._paths = dict.fromkeys(_PATHS)

    def learn(self, line: str) -> None:
        """Remember the words of a line that was typed, now or in an earlier session."""
        found = re.match(r"(?:notify\s+)?(\S+)\s+(/\S*)", line)
        if found is not None:
            self._methods[found[1]] = self._paths[found[2]] = None

    def complete(self, line: str) -> list[str]:
        """Return the words that the last word of a line may become.

        >>> Completion().complete("get /us")
        ['/users/']
        """
        words = line.lstrip().split(" ")
        is_notification = words[0] == "notify" and len(words) > 1
        position, word = len(words) - 1 - is_notification, words[-1]
        if position == 0:
            commands = () if is_notification else (*WORDS, "notify", "reply")
            return sorted(each for each in [*self._methods, *commands] if each.startswith(word))
        if position == 1 and words[0] != "reply":
            return sorted(each for each in self._paths if each.startswith(word))
        return []
