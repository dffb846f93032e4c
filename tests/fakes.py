"""A clock that is advanced by hand, and the far ends of the core's interfaces."""

from __future__ import annotations

import heapq
import itertools
import json
import logging
import threading
from typing import Any, Callable, TypeVar

from protoo_flask.core.application import Application
from protoo_flask.core.close_codes import ABNORMAL_CLOSURE, NORMAL_CLOSURE
from protoo_flask.core.deadlines import Deadlines
from protoo_flask.core.events import SiteEvent
from protoo_flask.core.inbox import Inbox
from protoo_flask.core.link import Unsent
from protoo_flask.core.peers.directory import Identity
from protoo_flask.core.rates import parse_rates
from protoo_flask.core.routing.layer import RoutingOptions
from protoo_flask.core.routing.router import Router
from protoo_flask.core.runtime import Limits, TimeLimits
from protoo_flask.core.wire.dialect import PROTOO, Dialect

T = TypeVar("T")


class FakeTimer:
    def __init__(self, function: Callable[..., Any], args: Any) -> None:
        self.function: Callable[..., Any] | None = function
        self.args = args

    def cancel(self) -> None:
        self.function = None


class FakeEvent:
    """Nothing else runs while a test waits: the functions in ``on_wait`` wake it."""

    def __init__(self, scheduler: FakeScheduler) -> None:
        self._scheduler = scheduler
        self._set = False

    def set(self) -> None:
        self._set = True

    def is_set(self) -> bool:
        return self._set

    def wait(self, timeout: float | None = None) -> bool:
        while not self._set:
            if self._scheduler.on_wait:
                self._scheduler.on_wait.pop(0)()
            elif timeout is not None:
                self._scheduler.advance(timeout)
                break
            elif not self._scheduler.advance_to_next():
                raise AssertionError("waits for an event that nothing will set")
        return self._set


class FakeScheduler:
    """Time passes when a test says so; a spawned function runs at once."""

    preempts = True  # some tests have threads

    #: The owners of timers that do nothing while the owner is empty.
    may_be_idle: tuple[type[Any], ...] = (Deadlines,)

    def __init__(self) -> None:
        self.time = 1000.0
        self._timers: list[tuple[float, int, FakeTimer]] = []
        self._order = itertools.count()
        self._lock = threading.RLock()
        #: Functions that "happen" while something waits for an event.
        self.on_wait: list[Callable[[], Any]] = []

    owner = 0
    thread_id = staticmethod(int)

    def now(self) -> float:
        return self.time

    def call_later(self, seconds: float, function: Callable[..., Any], *args: Any) -> FakeTimer:
        timer = FakeTimer(function, args)
        heapq.heappush(self._timers, (self.time + seconds, next(self._order), timer))
        return timer

    def spawn(self, function: Callable[..., Any], *args: Any) -> None:
        function(*args)

    def event(self) -> FakeEvent:
        return FakeEvent(self)

    def is_foreign(self) -> bool:
        return False

    def call(self, function: Callable[..., T], *args: Any) -> T:
        return function(*args)

    def hand_over(self, function: Callable[..., Any], *args: Any) -> None:
        function(*args)

    def is_here(self) -> bool:
        return True

    def is_gone(self) -> bool:
        return False

    def lock(self) -> Any:
        # One for all: a test has one thread. Made in C, it costs as much as a site's lock.
        return self._lock

    @property
    def pending_timers(self) -> int:
        """How many timers will do something; those of deadlines that are all over do nothing."""
        functions = [timer.function for _, _, timer in self._timers if timer.function is not None]
        owners = [getattr(function, "__self__", None) for function in functions]
        return sum(not isinstance(owner, self.may_be_idle) or len(owner) > 0 for owner in owners)

    def advance(self, seconds: float) -> None:
        """Let time pass; timers that are due fire in order."""
        end = self.time + seconds
        while self._timers and self._timers[0][0] <= end:
            self.time, _, timer = heapq.heappop(self._timers)
            if timer.function is not None:
                timer.function(*timer.args)
        self.time = end

    def advance_to_next(self) -> bool:
        """Let time pass until the next timer; ``False`` when there is none."""
        live = [when for when, _, timer in self._timers if timer.function is not None]
        if not live:
            return False
        self.advance(min(live) - self.time)
        return True


def postpone(calls: list[Any]) -> Callable[..., None]:
    """Return a ``spawn`` that keeps its calls for the test, but for the handling of requests."""

    def spawn(function: Callable[..., Any], *args: Any) -> None:
        if function.__name__ == "_handle":
            function(*args)
        else:
            calls.append((function, *args))

    return spawn


class FakeLink:
    """Collects the messages that are sent."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self.closed: tuple[int, str] | None = None
        #: Messages that it has taken, and cannot send.
        self.unsent: Unsent = []
        self.is_stuck = False
        self.is_paused = False
        #: The users whose messages it does not take: it reads too slowly.
        self.refused: set[str] = set()

    @property
    def outbox(self) -> FakeLink:
        return self

    @property
    def is_blocked(self) -> bool:
        return bool(self.refused)

    def admits(self, sender: str, size: int) -> bool:
        return sender not in self.refused

    @property
    def undelivered(self) -> int:
        return sum(len(payload) for payload, _ in self.unsent)

    def send_text(self, payload: bytes, id: int | None = None) -> bool:
        # A test may put another function in the place of send().
        return self.send(payload, id)

    def send(self, payload: bytes, id: int | None = None) -> bool:
        if self.closed is not None:
            return False
        if self.is_stuck:
            self.unsent.append((payload, id))
        else:
            self.payloads.append(payload)
        return True

    def retire(self, code: int, reason: str) -> None:
        self.close(code, reason)

    def fail(self, code: int, reason: str) -> bool:
        was_open = self.closed is None
        self.close(code, reason)
        return was_open

    def take_unsent(self) -> Unsent:
        unsent, self.unsent = self.unsent, []
        return unsent

    def close(self, code: int, reason: str) -> None:
        if self.closed is None:
            self.closed = (code, reason)

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def take(self) -> dict[str, Any]:
        """Take the oldest message that was sent."""
        assert self.payloads, "nothing was sent"
        message: dict[str, Any] = json.loads(self.payloads.pop(0))
        return message

    def take_all(self) -> list[dict[str, Any]]:
        return [self.take() for _ in list(self.payloads)]


class FakeFramework:
    """Runs everything at once and keeps the events and errors that it is told of."""

    def __init__(self) -> None:
        self.logger = logging.getLogger("tests.framework")
        #: Called with each event, like the listeners of a site.
        self.on_event: list[Callable[[SiteEvent], Any]] = []
        self.told: list[tuple[str, str]] = []
        self.errors: list[Any] = []
        #: What a teardown function of the site failed after.
        self.failed_teardowns: list[str] = []

    def run(self, function: Callable[..., Any], *args: Any) -> None:
        """Run code of the site, for the contexts of all peers; a test may replace it."""
        function(*args)

    def tell(self, event: SiteEvent) -> None:
        subject = event.subject
        self.told.append((event.name, getattr(subject, "username", subject)))
        for function in self.on_event:
            function(event)

    def tell_error(self, error: Any, request: Any) -> None:
        self.errors.append(error)

    def log_teardown(self, occasion: str, error: BaseException) -> None:
        self.failed_teardowns.append(occasion)

    def describe_error(self, error: Any) -> tuple[int, str] | None:
        return None


class FakeContext:
    """Runs code of the site as the host says."""

    def __init__(self, framework: FakeFramework) -> None:
        self.framework = framework

    def run(self, function: Callable[..., Any], *args: Any) -> None:
        self.framework.run(function, *args)


class FakeClient:
    """A client joined to the core in memory: its messages are handled before ``send`` returns."""

    #: A subclass with another one writes and reads the messages of its :attr:`link`.
    dialect: Dialect = PROTOO

    def __init__(
        self,
        core: Core,
        username: str,
        uuid: str,
        data: Any = None,
        link: FakeLink | None = None,
    ) -> None:
        self.link = FakeLink() if link is None else link
        self.inbox: Inbox = core.application.connect(
            Identity(username, uuid, data),
            self.link,
            FakeContext(core.framework),
            dialect=self.dialect,
        )
        self.peer = self.inbox.peer
        self.inbox.open()
        self._ids = itertools.count(1)

    def send_raw(self, payload: bytes) -> None:
        self.inbox.receive(payload)

    def send(self, message: dict[str, Any]) -> None:
        self.send_raw(self.encode(message))

    def encode(self, message: dict[str, Any]) -> bytes:
        """Write a message as this client does."""
        return json.dumps(message).encode()

    def request(self, method: str, path: str, data: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send a request and take the first thing that comes back."""
        self.start_request(method, path, data)
        return self.take()

    def start_request(self, method: str, path: str, data: dict[str, Any] | None = None) -> int:
        """Send a request; returns its id."""
        id = next(self._ids)
        self.send({"method": method, "path": path, "id": id, "data": data or {}})
        return id

    def notify(self, method: str, path: str, data: dict[str, Any] | None = None) -> None:
        self.send({"method": method, "path": path, "data": data or {}})

    def respond(
        self,
        request: dict[str, Any],
        status: int,
        reason: str = "",
        data: dict[str, Any] | None = None,
    ) -> None:
        """Answer a request that this client has received."""
        self.send({"status": status, "reason": reason, "id": request["id"], "data": data or {}})

    def drop(self, code: int = ABNORMAL_CLOSURE, is_read: bool = False) -> None:
        """Lose the connection, as its transport tells the core.

        :param is_read: whether messages that it has brought are still to be read.
        """
        if self.link.closed is None:
            self.link.closed = (code, "")
        self.inbox.closed(code)
        if not is_read:
            self.inbox.ended()

    def leave(self) -> None:
        """Close the connection with 1000."""
        self.drop(NORMAL_CLOSURE)

    def take(self) -> dict[str, Any]:
        return self.link.take()

    def take_all(self) -> list[dict[str, Any]]:
        return self.link.take_all()


C = TypeVar("C", bound=FakeClient)


class Core:
    """An application with a clock of its own; the first client closes the registration."""

    scheduler_class = FakeScheduler

    def __init__(
        self,
        router: Router | None = None,
        routing_options: RoutingOptions | None = None,
        **options: Any,
    ) -> None:
        self.routing_options = routing_options or RoutingOptions()
        self.scheduler = self.scheduler_class()
        self.framework = FakeFramework()
        self.router = Router() if router is None else router
        self.owner = object()
        self.application = Application(
            self.owner,
            self.router,
            self.framework,
            self.scheduler,
            TimeLimits(
                options.pop("request_timeout", 10),
                options.pop("session_timeout", 120),
                options.pop("response_timeout", None),
                options.pop("grace_period", 0),
                options.pop("detection_time", 0),
                options.pop("answers_time", None),
                options.pop("reload", None),
            ),
            Limits(
                options.pop("max_peers_per_user", 16),
                options.pop("max_waiting", 1024 * 1024),
                options.pop("parallel_requests", 1),
                parse_rates(options.pop("rate_limit", None), "rate_limit"),
            ),
            first_id=options.pop("first_id", lambda: 100),
            **options,
        )

    def connect(
        self,
        username: str = "alice",
        uuid: str = "a1",
        data: Any = None,
        *,
        link: FakeLink | None = None,
        kind: type[C] = FakeClient,  # type: ignore[assignment]
    ) -> C:
        self.router.freeze(self.routing_options)
        return kind(self, username, uuid, data, link)
