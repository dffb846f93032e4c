"""The effort of a request: the work that its path may cost the matchers.

Each matcher takes linear time. But a path may have thousands of characters, a site may have
hundreds of patterns, and the slow matcher takes a microsecond for a character. Together that
would be half a second of work for one message of an untrusted client. So all matchers that a
request meets share one budget. Only the slow matcher and long paths count.
"""

from __future__ import annotations

from ...errors import CostlyPath

#: Steps of :mod:`.linear_regex` for one request: about a millisecond. A path of 60 characters takes
#: some 200 in each pattern.
MAX_STEPS = 3000

#: Characters that cost as much as a step: of a path in ``re``, and of a parameter that is
#: percent-decoded.
MATCHED_IN_A_STEP = 32
DECODED_IN_A_STEP = 4

#: Characters of a path that ``re`` matches without being counted.
SHORT = 256


class Effort:
    """The steps of one request.

    :ivar left: how many may still be taken; negative when the request has gone too far.
    """

    __slots__ = ("left",)

    def __init__(self, steps: int = MAX_STEPS) -> None:
        self.left = steps

    def spend(self, steps: int) -> None:
        """Take steps.

        :raises CostlyPath: when there are not so many left.
        """
        self.left -= steps
        if self.left < 0:
            raise CostlyPath("the path takes too long to match")
