"""Messages of many levels, near the limit of reading."""

from __future__ import annotations

import json
from typing import Any

from protoo_flask.core.wire.nesting import MAX_DEPTH

#: Of a message; its data has a level less.
LEVELS = [1, 2, 3, 10, 250, MAX_DEPTH - 2, MAX_DEPTH - 1, MAX_DEPTH]
BEYOND = [MAX_DEPTH + 1, MAX_DEPTH + 2, 957, 975, 1000, 1100]

#: {name: (opening, closing)} of a level
SHAPES = {"arrays": ("[", "]"), "objects": ('{"a":', "}"), "mixed": ('[1,{"a":', "}]")}


def nest(shape: str, levels: int) -> str:
    """Write a value of so many levels."""
    begin, end = SHAPES[shape]
    width = begin.count("[") + begin.count("{")
    inner = "[]" if levels % width else "7"
    text = begin * (levels // width) + inner + end * (levels // width)
    assert text.count("[") + text.count("{") == levels
    return text


def write(shape: str, levels: int, **fields: Any) -> bytes:
    """Write a message of so many levels."""
    start = json.dumps(fields)[:-1]
    if levels == 1:
        return f"{start}}}".encode()
    if levels == 2:
        return f'{start},"data":{{}}}}'.encode()
    return f'{start},"data":{{"x":{nest(shape, levels - 2)}}}}}'.encode()


def data_of(shape: str, levels: int) -> Any:
    """Return the data of such a message, as it is to be received."""
    return json.loads(write(shape, levels, id=1)).get("data", {})
