"""The faults: what happens to servers, to the network, to Redis and to the site.

Each function does its harm, and returns when it is over; what is to be seen of it is looked at by
the load, the neighbours and the checks at the end.
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import time
from pathlib import Path
from typing import Callable, NamedTuple

import gevent

from tests.soak.disturbances import Disturbances

from .cells import FLASK_RUN, GUNICORN, Cell
from .ground import Ground
from .servers import Servers, limited
from .site import CLUMSY

#: Seconds for a worker to end.
PATIENCE = 30.0

#: Seconds that a limit lasts.
SHORTAGE = 1.0

#: Seconds by which the clock is set.
CLOCK_STEPS = (-3600.0, 3600.0, -86400.0 * 30, 86400.0 * 365)


class Field(NamedTuple):
    """What a fault happens to."""

    cell: Cell
    servers: Servers
    disturbances: Disturbances
    rnd: random.Random

    def choose(self) -> int:
        """Return the index of one of the servers."""
        return self.rnd.randrange(len(self.servers.all))

    def ground(self) -> Ground:
        return Ground(self.servers.ports[self.choose()], not self.cell.has_tls)


class Fault(NamedTuple):
    """A fault.

    :ivar harm: ``harm(field)`` returns what is wrong, in words.
    :ivar is_for: whether it can happen in a cell.
    :ivar ends_peers: whether peers may be lost with their server, in a cell.
    :ivar is_disruptive: whether neighbours may lose their connections, or have to wait.
    """

    harm: Callable[[Field], list[str] | None]
    is_for: Callable[[Cell], bool] = lambda cell: True
    ends_peers: Callable[[Cell], bool] = lambda cell: False
    is_disruptive: bool = False


# Servers -------------------------------------------------------------------------------------


def kill(field: Field) -> None:
    field.servers.all[field.choose()].kill()


def end(field: Field) -> None:
    field.servers.all[field.choose()].end()


def replace(field: Field) -> None:
    server = field.servers.all[field.choose()]
    former = server.pid
    server.replace()
    # The new worker serves already; the former one closes its connections in its own time.
    deadline = time.monotonic() + PATIENCE
    while Path(f"/proc/{former}").exists() and time.monotonic() < deadline:
        gevent.sleep(0.05)


def stop(field: Field) -> None:
    with field.servers.all[field.choose()].stopped():
        gevent.sleep(field.rnd.uniform(0.5, 2.0))


def take_descriptors(field: Field) -> list[str]:
    """Let a server have a few descriptors more, and come with many clients."""
    server = field.servers.all[field.choose()]
    used = max(int(name) for name in os.listdir(f"/proc/{server.pid}/fd"))
    with limited(server, resource.RLIMIT_NOFILE, used + 12):
        return knock_often(field, 40)


def take_threads(field: Field) -> list[str]:
    """Leave a server no room for the stack of another thread, and come with many clients."""
    server = field.servers.all[field.choose()]
    with limited(server, resource.RLIMIT_AS, virtual_size(server.pid) + 4 * 1024 * 1024):
        return knock_often(field, 40)


def virtual_size(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def knock_often(field: Field, count: int) -> list[str]:
    """Connect many clients at once. Each is let in, answered 503, or hung up on."""
    ground = field.ground()
    faults = []
    with contextlib.ExitStack() as stack:

        def knock(number: int) -> None:
            try:
                client = ground.connect("crowd", f"c{number}")
            except AssertionError as error:
                if not str(error).endswith((" 503", " 429")):
                    faults.append(str(error))
            except (OSError, IndexError):
                pass  # the server could not even accept it
            else:
                stack.callback(client.__exit__)

        gevent.joinall([gevent.spawn(knock, number) for number in range(count)], timeout=5)
        gevent.sleep(SHORTAGE)
    return faults


def set_clock(field: Field) -> None:
    field.servers.all[field.choose()].get(f"/clock/{field.rnd.choice(CLOCK_STEPS)}")


# The network -----------------------------------------------------------------------------------


def cut(field: Field) -> None:
    """Reset all connections of a proxy, three times."""
    proxy = field.servers.proxies[field.choose()]
    for _ in range(3):
        proxy.cut()
        gevent.sleep(field.rnd.uniform(0.1, 0.5))


def delay(field: Field) -> None:
    proxy = field.servers.proxies[field.choose()]
    proxy.delay = 0.2
    gevent.sleep(2.0)
    proxy.delay = 0.0


# Redis -----------------------------------------------------------------------------------------


def disturb_redis(kind: str) -> Callable[[Field], None]:
    def harm(field: Field) -> None:
        field.disturbances.disturb_redis(kind)

    return harm


# The site --------------------------------------------------------------------------------------


def make_mistakes(field: Field) -> list[str]:
    """Let handlers, teardown functions and listeners of the site fail."""
    faults = []
    ground = field.ground()
    for number in range(10):
        with ground.connect(f"{CLUMSY}{field.rnd.randrange(5)}") as client:
            for path, status in (("/fail", 500), ("/torn", 200), ("/echo", 200)):
                client.send_request("get", path, number + 1)
                answer = client.await_answer(number + 1)[-1]
                if answer["status"] != status:
                    faults.append(f"{path} was answered {answer}")
            if number % 2:
                client.send_frame(8, b"\x03\xe8")
    return faults


def share_a_connection(field: Field) -> list[str]:
    """Let many clients ask a database that has one connection; some of the handlers fail."""
    faults: list[str] = []
    ground = field.ground()

    def ask(index: int) -> None:
        with ground.connect(f"customer{index}") as client:
            for number in range(1, 8):
                is_to_fail = (index + number) % 5 == 0
                client.send_request("get", "/stock", number, fail=is_to_fail)
                answer = client.await_answer(number)[-1]
                if answer["status"] != (500 if is_to_fail else 200):
                    faults.append(f"/stock was answered {answer}")
            client.send_frame(8, b"\x03\xe8")

    greenlets = [gevent.spawn(ask, index) for index in range(8)]
    gevent.joinall(greenlets, timeout=30)
    faults += [repr(greenlet.exception) for greenlet in greenlets if greenlet.exception]
    faults += ["a customer of the database hangs" for greenlet in greenlets if not greenlet.ready()]
    gevent.killall(greenlets)
    return faults


def _is_gunicorn(cell: Cell) -> bool:
    return cell.server == GUNICORN


def _has_threads(cell: Cell) -> bool:
    return cell.server == FLASK_RUN


def _has_cluster(cell: Cell) -> bool:
    return cell.has_cluster


def _is_alone(cell: Cell) -> bool:
    # Of a cluster, a worker that ends in good order gives its peers to the others.
    return not cell.has_cluster


def _always(cell: Cell) -> bool:
    return True


FAULTS: dict[str, Fault] = {
    "kill": Fault(kill, ends_peers=_always, is_disruptive=True),
    "term": Fault(end, ends_peers=_is_alone, is_disruptive=True),
    "hup": Fault(replace, _is_gunicorn, ends_peers=_is_alone, is_disruptive=True),
    "stop": Fault(stop, ends_peers=_has_cluster, is_disruptive=True),
    "descriptors": Fault(take_descriptors),
    "threads": Fault(take_threads, _has_threads),
    "clock": Fault(set_clock),
    "cut": Fault(cut),
    "delay": Fault(delay),
    "mistakes": Fault(make_mistakes),
    "pool": Fault(share_a_connection),
    "redis restart": Fault(disturb_redis("restart"), _has_cluster),
    "redis pause": Fault(disturb_redis("pause"), _has_cluster),
    "redis away": Fault(disturb_redis("away"), _has_cluster),
}


def try_fault(fault: Fault, field: Field) -> list[str]:
    """Do a fault; returns what is wrong."""
    try:
        return fault.harm(field) or []
    except (OSError, EOFError, AssertionError, ValueError, IndexError) as error:
        return [f"{type(error).__name__}: {error}"]
