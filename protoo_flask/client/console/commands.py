"""Commands of the console: one line each."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple, Union

from ...core.suggestions import hint

HELP = """\
METHOD PATH [DATA]          send a request, and show its responses as they come
notify METHOD PATH [DATA]   send a notification, which is not answered
reply [#N] STATUS [REASON] [DATA]
                            answer request #N, or the oldest one; 1xx: more will come
requests                    show the requests that wait for your answer
cancel                      give up all requests that you wait for
help, quit

DATA is a JSON object. Examples:
    get /echo {"text": "hi"}
    message /users/bob {"text": "hi bob"}
    reply 200 OK {"seen": true}"""

#: Commands without arguments.
WORDS = ("requests", "cancel", "help", "quit")


class Send(NamedTuple):
    """A request to be sent, or a notification."""

    method: str
    path: str
    data: dict[str, Any]
    is_notification: bool = False


class Reply(NamedTuple):
    """A response to request ``number`` of the server; ``None``: the oldest."""

    number: int | None
    status: int
    reason: str
    data: dict[str, Any]


class Word(NamedTuple):
    """One of :data:`WORDS`."""

    word: str


Command = Union[Send, Reply, Word]

_FORM = re.compile(r"(?P<method>\S+)\s+(?P<path>/\S*)(?:\s+(?P<data>.+))?")
_REPLY = re.compile(r"(?:#(?P<number>\d+)\s+)?(?P<status>\d{3})(?P<rest>\s.*)?")


class BadCommand(Exception):
    """A line that is no command; the text tells the legal form."""


def parse_command(line: str) -> Command | None:
    """Read a line; ``None`` when it is empty, or a comment.

    >>> parse_command('get /echo {"n": 1}')
    Send(method='get', path='/echo', data={'n': 1}, is_notification=False)
    >>> parse_command("reply #2 486 busy here")
    Reply(number=2, status=486, reason='busy here', data={})

    :raises BadCommand: when it is no command.
    """
    line = line.strip()
    if not line or line.startswith("# "):
        return None
    first, _, rest = line.partition(" ")
    if line in WORDS or line in ("exit", "?"):
        return Word({"exit": "quit", "?": "help"}.get(line, line))
    if first == "reply":
        return _parse_reply(rest.strip())
    is_notification = first == "notify"
    found = _FORM.fullmatch(rest.strip() if is_notification else line)
    if found is None:
        raise BadCommand(
            f"expected METHOD PATH [DATA], like get /echo {{}}, not {line!r}"
            + hint(first, [*WORDS, "notify", "reply"])
            + "; help shows all commands"
        )
    return Send(found["method"], found["path"], _parse_data(found["data"]), is_notification)


def _parse_reply(text: str) -> Reply:
    found = _REPLY.fullmatch(text)
    if found is None or not 100 <= int(found["status"]) <= 699:
        raise BadCommand(f"expected reply [#N] STATUS [REASON] [DATA], not {text!r}")
    reason, brace, data = (found["rest"] or "").strip().partition("{")
    number = found["number"] and int(found["number"])
    return Reply(number or None, int(found["status"]), reason.strip(), _parse_data(brace + data))


def _parse_data(text: str | None) -> dict[str, Any]:
    if not text:
        return {}
    try:
        data = json.loads(text)
    except ValueError as error:
        raise BadCommand(f'DATA is a JSON object, like {{"text": "hi"}}: {error}') from None
    if not isinstance(data, dict):
        raise BadCommand(f'DATA is a JSON object, like {{"text": "hi"}}, not {text}')
    return data
