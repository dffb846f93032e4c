"""Exits: ``sys.exit()`` in code of the site, and the same exception of a server that stops.

A handler may run into ``sys.exit()`` by accident: ``argparse`` calls it for a wrong argument of a
chat command. Nobody has asked the server to stop then, so such an exit ends the message or event
at hand, as any error of the site does. gunicorn's gevent worker does the same for a view. gevent
alone would end the process, for all clients, and a thread would end without a word.

A server that is told to stop raises the same exception in a signal handler, which runs in the
middle of any code: gunicorn when a worker hangs (SIGABRT), many a script at SIGTERM. Such an exit
goes through. Python calls a signal handler as ``handler(number, frame)``, with the frame that
was interrupted, and no other function has such an argument.
"""

from __future__ import annotations

import inspect
from types import FrameType
from typing import Any, Sequence


def is_contained(error: BaseException) -> bool:
    """Whether an error of the site's code ends no more than the message or event at hand.

    The others end the greenlet or the process: ``KeyboardInterrupt``, ``gevent.Timeout``,
    ``GreenletExit``, and the exit of a server that stops.
    """
    if isinstance(error, Exception):
        return True
    if isinstance(error, SystemExit):
        return not _is_of_signal_handler(error)
    # Flask 3.2 puts the errors of teardown functions in a group.
    group: Sequence[BaseException] = getattr(error, "exceptions", ())
    return bool(group) and all(map(is_contained, group))


def _is_of_signal_handler(error: BaseException) -> bool:
    trace = error.__traceback__
    while trace is not None:
        if _takes_frame(trace.tb_frame):
            return True
        trace = trace.tb_next
    return False


def _takes_frame(frame: FrameType) -> bool:
    arguments = inspect.getargvalues(frame)
    values: list[Any] = [arguments.locals.get(name) for name in arguments.args]
    if arguments.varargs is not None:
        values.extend(arguments.locals.get(arguments.varargs, ()))
    return any(isinstance(value, FrameType) for value in values)
