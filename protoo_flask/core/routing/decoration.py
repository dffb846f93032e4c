"""Whether a registration is a decorator without parentheses.

``@router.use`` above a function and ``router.use(fn)`` are the same call for Python. The first
must return the function, or its name stands for the router afterwards and no unit test can
call it. The second returns the router, so that registrations can be chained.
"""

from __future__ import annotations

import dis
import inspect
from types import CodeType, FunctionType
from typing import Any

from ..callers import find_caller


def is_decorated(function: Any) -> bool:
    """Whether the call into this package that is running decorates ``function``.

    A decorator is called where the function is defined: by the code that has just made it,
    and from the lines of the definition itself. Any other call of that code is on another
    line. A decorator in between is seen through if it uses ``functools.wraps``.
    """
    function = inspect.unwrap(function)
    if not isinstance(function, FunctionType) or function.__name__ == "<lambda>":
        return False
    code = function.__code__
    caller = find_caller()
    if code not in caller.f_code.co_consts:
        return False
    return code.co_firstlineno <= caller.f_lineno <= _last_line(code)


def _last_line(code: CodeType) -> int:
    return max(line for _, line in dis.findlinestarts(code) if line is not None)
