"""A workload: the requests of one device that are being handled, and its places for them.

A device has ``PROTOO_PARALLEL_REQUESTS`` places, whatever its links: a link that takes over
finds those taken that requests of the earlier link have. So does a device that left for good
and connects again: the directory keeps its workload until the last of its requests is done.

Usually there is no more to it than a number of free places. Everything else is in a
:class:`~.backlog.Backlog`, which exists only while something is not as usual. Meanwhile, no
place counts as free, so that every request comes to :meth:`Workload.wait`.

==================  ==================  ====================================================
a place is          event               then
==================  ==================  ====================================================
free                a request comes     taken
taken               its handler         free, or taken by the request that has waited
                    returns             longest
taken               no progress         stuck: another place takes its part
stuck               its handler         gone
                    returns
==================  ==================  ====================================================

*No progress*: something has waited for ``PROTOO_RESPONSE_TIMEOUT``, and in that time no handler
has been called and none has returned. A handler that has called ``req.keep_open()`` said that it
takes longer, and is never stuck. When as many handlers of a user are stuck as a user may have
running at all, the requests that wait and those that come are answered 504. So are, when there is
no progress, requests that wait because a listener of "online" does not return.
"""

from __future__ import annotations

from typing import Any, Callable

from .backlog import Backlog, Source, WaitingRequest
from .runtime import Runtime
from .scheduling import one_step

#: Fates of a request that finds no place.
WAITS = "waits"
PAUSES = "waits, and reading should pause"
TOO_MANY = "too many wait"
HOPELESS = "too many handlers are stuck"

NO_ANSWER = 504, "no answer"


class Workload:
    """The requests of one device that are being handled.

    :param username: the user that the device belongs to.
    :ivar free: places that are free, as long as there is no backlog.
    """

    __slots__ = ("_patient", "_runtime", "_username", "backlog", "free")

    def __init__(self, username: str, runtime: Runtime) -> None:
        self._username = username
        self._runtime = runtime
        self.free = runtime.limits.parallel_requests
        self.backlog: Backlog | None = None
        #: Requests whose handlers have said that they take longer, and have not returned.
        self._patient: tuple[Any, ...] = ()

    # As usual ------------------------------------------------------------------------

    def take(self) -> bool:
        """Take a free place; ``False`` when there is none."""
        if self.free:
            self.free -= 1
            return True
        return False

    def leave(self) -> bool:
        """Give a place back; ``False`` when :meth:`pass_on` is to be called instead."""
        if self._patient:
            self._forget_patient()
        if self.backlog is None:
            self.free += 1
            return True
        return False

    # Waiting -------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """Bytes of the requests that wait, with everything that they keep."""
        backlog = self.backlog
        return 0 if backlog is None else backlog.size

    @property
    def running(self) -> int:
        """How many handlers are running that are expected to return."""
        backlog = self.backlog
        return self._limit - self.free if backlog is None else backlog.running

    @property
    def is_held(self) -> bool:
        """Whether requests wait until earlier ones have been answered."""
        backlog = self.backlog  # read once: another thread may take it away
        return backlog is not None and backlog.is_held

    @property
    def has_departed(self) -> bool:
        """Whether its device has gone, and something is left to be done."""
        backlog = self.backlog
        return backlog is not None and backlog.when_done is not None

    def wait(self, request: WaitingRequest) -> str:
        """Let a request wait that finds no place; tells its fate. :meth:`go_on` comes next."""
        backlog = self._get_backlog()
        if not self._has_hope():
            return HOPELESS
        if not backlog.append(request):
            return TOO_MANY
        if len(backlog) == 1:
            self._runtime.progress.add(self)
        return PAUSES if backlog.is_full else WAITS

    def next(self) -> WaitingRequest | None:
        """Give a place to the request that has waited longest, if there is one for it."""
        backlog = self.backlog
        if backlog is None:
            return None
        request = None
        if backlog.running < self._limit and backlog.is_ready:
            request = backlog.pop()
            backlog.running += 1
            self._note_progress(backlog)
        self._settle()
        return request

    def started(self, request: Any) -> None:
        """Take note of the request that the handler of a waiting one is called with."""
        backlog = self.backlog
        if backlog is not None and backlog.stuck:
            backlog.trusted.add(request)

    def pass_on(self, request: Any) -> WaitingRequest | None:
        """Pass a place on, or give it back.

        :param request: its handler has returned; ``None``: it was not called.
        """
        if self._patient:
            self._forget_patient()
        backlog = self.backlog
        if backlog is None:  # another thread has been here
            self.free += 1
            return None
        if not backlog.stuck or request is None:
            backlog.running -= 1
        elif request in backlog.trusted:
            backlog.trusted.discard(request)
            backlog.running -= 1
        else:
            # Its place has been given to another one.
            backlog.stuck -= 1
            if not backlog.stuck:
                backlog.trusted.clear()
            self._runtime.stuck_places.add(self._username, -1)
        self._note_progress(backlog)
        return self.next()

    def go_on(self) -> None:
        """Have the requests handled that need not wait, and let links read if there is room."""
        while True:
            request = self.next()
            if request is None:
                break
            self._runtime.scheduler.spawn(request.source.handle_waiting, request)
        self.resume_reading()

    def resume_reading(self) -> None:
        """Let links read again if there is room."""
        if self.backlog is not None:
            for source in self._take_resumable():
                source.resume_reading()

    def _take_resumable(self) -> list[Source]:
        backlog = self.backlog
        if backlog is None or not backlog.paused or backlog.is_full:
            return []
        sources = list(backlog.paused)
        backlog.paused.clear()
        self._settle()
        return sources

    def drop(self, source: Source | None = None) -> list[WaitingRequest]:
        """Take the requests of a link that wait, and those of peers that were removed."""
        backlog = self.backlog
        if backlog is None:
            return []
        dropped = backlog.take(
            lambda request: request.source is source or request.source.is_removed
        )
        if dropped:
            self._note_progress(backlog)
        self._settle()
        return dropped

    # Links ---------------------------------------------------------------------------

    def join(self, source: Source) -> bool:
        """Keep the requests of a new link waiting until :meth:`opened`.

        :returns: whether it should read at all; :meth:`note_pause` comes next if not.
        """
        backlog = self._get_backlog()
        backlog.opening.add(source)
        return not backlog.is_full

    def opened(self, source: Source) -> WaitingRequest | None:
        """Take note that the site has been told of a link; see :meth:`next`."""
        if self.backlog is None:
            return None
        self.backlog.opening.discard(source)
        return self.next()

    def note_pause(self, source: Source) -> None:
        """Take note that a link does not read. :meth:`resume_reading` comes next."""
        self._get_backlog().paused.add(source)

    def forget_pause(self, source: Source) -> None:
        """Take note that a link has ended."""
        if self.backlog is not None:
            self.backlog.paused.discard(source)
            self._settle()

    # Requests without an answer ---------------------------------------------------------

    def hold(self) -> None:
        """Let requests wait, as too many have no answer."""
        self._get_backlog().is_held = True

    def release(self) -> None:
        """Go on after :meth:`hold`."""
        self._unhold()
        self.go_on()

    def _unhold(self) -> None:
        if self.backlog is not None:
            self.backlog.is_held = False

    # The end of the device ----------------------------------------------------------------

    def depart(self, when_done: Callable[[], None]) -> bool:
        """Take note that the device has gone; ``False`` when nothing is left to be done.

        :param when_done: called in a greenlet or thread of its own when nothing is left.
        """
        # Each refers to the peer, and the peer to this.
        self._patient = tuple(self._still_patient())
        if self.backlog is None and self.free == self._limit:
            return False
        backlog = self._get_backlog()
        if not backlog.running and not len(backlog):
            self._settle()
            return False
        backlog.when_done = when_done
        self._note_progress(backlog)
        return True

    def come_back(self) -> None:
        """Take note that the device has connected again."""
        if self.backlog is not None:
            self.backlog.when_done = None
            self._note_progress(self.backlog)
            self._settle()

    # Handlers that do not return ------------------------------------------------------------

    def be_patient(self, request: Any) -> None:
        """Let the handler of a request take as long as it likes."""
        if request not in self._patient:
            self._patient = (request, *self._still_patient())

    def _forget_patient(self) -> None:
        # With its data, each may take some MiB.
        self._patient = tuple(self._still_patient())

    def _still_patient(self) -> list[Any]:
        return [
            request for request in self._patient if not request.ended and not request.is_left_open
        ]

    def expire(self) -> None:
        """There has been no progress for as long as handlers have to answer."""
        for request in self._give_up():
            request.source.turn_down(request, *NO_ANSWER)
        self.go_on()

    def _give_up(self) -> list[WaitingRequest]:
        """Expect the handlers not to return; returns requests that are not going to be handled."""
        backlog = self.backlog
        if backlog is None:
            return []
        patient = self._still_patient()
        if backlog.stuck:
            # Without those that said so too late: their places have been given to others.
            patient = [request for request in patient if request in backlog.trusted]
        stuck = backlog.running - len(patient)
        if stuck > 0:
            backlog.running -= stuck
            backlog.stuck += stuck
            backlog.trusted = set(patient)
            self._runtime.stuck_places.add(self._username, stuck)
            has_hope = self._has_hope()
            self._runtime.report_stuck(self._username, stuck, has_hope)
            if has_hope:
                self._note_progress(backlog)
                return []
        elif backlog.running:
            self._note_progress(backlog)
            return []
        # Nothing is running, and nothing may: the site is still being told of the link, or so
        # many requests are kept open that there is no room for more.
        given_up = backlog.take(lambda request: True)
        self._note_progress(backlog)
        self._settle()
        return given_up

    # Both ways ------------------------------------------------------------------------------

    @property
    def _limit(self) -> int:
        return self._runtime.limits.parallel_requests

    def _has_hope(self) -> bool:
        """Whether a user has places left besides those of handlers that are stuck."""
        return self._runtime.stuck_places.leave(self._username, self._limit)

    def _get_backlog(self) -> Backlog:
        backlog = self.backlog
        if backlog is None:
            backlog = self.backlog = Backlog(self._limit - self.free)
            self.free = 0
        return backlog

    def _settle(self) -> None:
        """Go back to the usual way, if everything is as usual."""
        backlog = self.backlog
        assert backlog is not None
        if backlog.when_done is not None and not backlog.running and not len(backlog):
            when_done, backlog.when_done = backlog.when_done, None
            self._patient = tuple(self._still_patient())
            self._note_progress(backlog)
            # Not here: it takes the lock of the directory.
            self._runtime.scheduler.spawn(when_done)
        if not backlog.is_needed and self._has_hope():
            self.free = self._limit - backlog.running
            self.backlog = None

    def _note_progress(self, backlog: Backlog) -> None:
        if len(backlog) or backlog.when_done is not None:
            self._runtime.progress.add(self)
        else:
            self._runtime.progress.remove(self)


class SharedWorkload(Workload):
    """The requests of one device that are handled in threads.

    No link is called while its lock is held. Only those of the deadlines and of the stuck places
    are taken inside of it.
    """

    __slots__ = ("_lock",)

    def __init__(self, username: str, runtime: Runtime) -> None:
        super().__init__(username, runtime)
        self._lock = runtime.scheduler.lock()

    take = one_step(Workload.take)
    leave = one_step(Workload.leave)
    be_patient = one_step(Workload.be_patient)
    wait = one_step(Workload.wait)
    next = one_step(Workload.next)
    started = one_step(Workload.started)
    pass_on = one_step(Workload.pass_on)
    _take_resumable = one_step(Workload._take_resumable)
    drop = one_step(Workload.drop)
    join = one_step(Workload.join)
    opened = one_step(Workload.opened)
    note_pause = one_step(Workload.note_pause)
    forget_pause = one_step(Workload.forget_pause)
    hold = one_step(Workload.hold)
    _unhold = one_step(Workload._unhold)
    depart = one_step(Workload.depart)
    come_back = one_step(Workload.come_back)
    _give_up = one_step(Workload._give_up)
