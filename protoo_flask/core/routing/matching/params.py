"""The parameters of a layer, and their merge with those of the router above."""

from __future__ import annotations

from typing import Dict, Union

Key = Union[str, int]
Params = Dict[Key, str]


class NumberedParams(Dict[Key, str]):
    """Parameters of a pattern with unnamed ones, which are numbered.

    :ivar numbered: how many the pattern numbers, with those that did not take part in a match.
        The parameters of the routers below are numbered from here on.
    """

    __slots__ = ("numbered",)

    def __init__(self, numbered: int, params: Params | None = None) -> None:
        super().__init__(params or {})
        self.numbered = numbered

    def copy(self) -> NumberedParams:
        """Return a copy that knows the same number."""
        return NumberedParams(self.numbered, self)


def merge_params(above: Params, own: Params) -> Params:
    """Return the parameters of a router with ``merge_params``, as Express 4 merges them.

    Of two with one name, the own one wins. Numbered ones are all kept: the own ones are
    numbered on from those above.

    >>> merge_params(NumberedParams(1, {0: "7"}), NumberedParams(1, {0: "a/b"}))
    {0: '7', 1: 'a/b'}
    """
    first = _count_numbered(above)
    merged = NumberedParams(first + _count_numbered(own), above)
    for key, value in own.items():
        merged[key + first if isinstance(key, int) else key] = value
    return merged


def _count_numbered(params: Params) -> int:
    if isinstance(params, NumberedParams):
        return params.numbered
    # A function of the site may have put a dict of its own there.
    return 1 + max((key for key in params if isinstance(key, int)), default=-1)
