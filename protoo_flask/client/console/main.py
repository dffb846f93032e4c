"""The command line of the console."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import ssl
import sys
from typing import Any, NoReturn, Sequence

from ...core.errors import ProtooError, UsageError
from ..client import Client
from ..events import Disconnected, Refused
from .completion import Completion
from .conversation import Conversation
from .cookie_file import load_cookies
from .json_lines import JsonLines
from .output import Output, open_standard_streams
from .terminal import Terminal

#: Exit statuses.
OK, REJECTED, WRONG_USE, REFUSED, NOT_CONNECTED, UNREAD, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130

_EPILOG = """\
exit status: 0 all is well; 1 a request was rejected or not answered, or a line was wrong; 2 wrong
arguments; 3 the server has refused the connection with an HTTP status; 4 not connected, or the
connection was lost for good; 5 the output cannot be written, or nobody reads it; 130 interrupted.
Once connected, type "help".
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    open_standard_streams()
    options = _make_parser().parse_args(argv)
    logging.basicConfig(level=logging.ERROR, format="! %(message)s")
    logging.getLogger("protoo_flask.client").setLevel(logging.ERROR)
    try:
        client = _make_client(options)
    except (UsageError, OSError, ValueError) as error:
        print(f"python -m protoo_flask.client: {error}", file=sys.stderr)
        return WRONG_USE
    try:
        return _talk(client, options)
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        client.close()


def _talk(client: Client, options: argparse.Namespace) -> int:
    def give_up(error: OSError) -> NoReturn:
        client.close()
        if not isinstance(error, BrokenPipeError):
            print(f"python -m protoo_flask.client: {error}", file=sys.stderr, flush=True)
        # The main thread may wait for a line of stdin, which nothing interrupts.
        os._exit(UNREAD)

    output = Output(give_up)
    talk: Conversation | JsonLines
    if options.json:
        talk = JsonLines(client, output, options.timeout)
    else:
        terminal = Terminal(output, Completion(), options.history)
        talk = Conversation(client, terminal, options.timeout)
    try:
        client.connect(options.connect_timeout)
    except ProtooError as error:
        if not options.json:
            hint = ""
            if isinstance(error, Refused) and error.status in (401, 403):
                hint = " (--cookie and --cookies bring the cookies of a login)"
            print(f"python -m protoo_flask.client: {error}{hint}", file=sys.stderr)
        return REFUSED if isinstance(error, Refused) else NOT_CONNECTED
    if isinstance(talk, JsonLines):
        talk.run(sys.stdin)
    else:
        if terminal.is_interactive:
            terminal.print('* type "help" for the commands, "quit" or Ctrl-D to leave')
        talk.run()
    if client.state == "closed":
        return NOT_CONNECTED
    with contextlib.suppress(Disconnected):
        client.close()
    is_checked = options.json or not terminal.is_interactive
    return REJECTED if is_checked and talk.has_failed else OK


def _make_client(options: argparse.Namespace) -> Client:
    cookies: Any = None
    if options.cookies:
        cookies = load_cookies(options.cookies)
    elif options.cookie:
        cookies = dict(_split(each, "=", "--cookie") for each in options.cookie)
    context = None
    if options.ca or options.insecure:
        context = ssl.create_default_context(cafile=options.ca)
    if options.insecure:
        assert context is not None
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return Client(
        options.url,
        options.uuid,
        cookies=cookies,
        headers=dict(_split(each, ":", "--header") for each in options.header),
        ssl_context=context,
        request_timeout=options.timeout,
        repeat=options.repeat,
        reconnect=None if options.no_reconnect else (0.5, 30),
    )


def _split(text: str, separator: str, option: str) -> tuple[str, str]:
    name, found, value = text.partition(separator)
    if not found or not name.strip():
        raise ValueError(f"{option} takes NAME{separator}VALUE, not {text!r}")
    return name.strip(), value.strip()


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m protoo_flask.client",
        description="Talk to a protoo_flask server by hand, or from a script.",
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add("url", metavar="URL", help="the WebSocket route: wss://chat.example/protoo")
    add("--uuid", help="the name of this device (default: a new one)")
    add(
        "--cookie",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a cookie of the site, like session=...; repeatable",
    )
    add("--cookies", metavar="FILE", help="cookies in the format of curl -c and of Netscape")
    add(
        "--header",
        action="append",
        default=[],
        metavar="NAME:VALUE",
        help="a header for the handshake; repeatable",
    )
    add("--ca", metavar="FILE", help="certificates of your own authority, as PEM")
    add("--insecure", action="store_true", help="accept any certificate")
    add("--timeout", type=float, default=15.0, metavar="SECONDS", help="of a request (15)")
    add(
        "--connect-timeout",
        type=float,
        default=20.0,
        metavar="SECONDS",
        help="until the first connection (20)",
    )
    add("--repeat", action="store_true", help="send requests again after a reconnection")
    add("--no-reconnect", action="store_true", help="end with the connection")
    add("--json", action="store_true", help="messages as JSON lines, on stdin and stdout")
    add("--history", default="~/.protoo_history", metavar="FILE", help="of the lines typed")
    return parser
