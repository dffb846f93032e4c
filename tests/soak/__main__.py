"""``python -m tests.soak``: clients of a cluster connect, drop, move, chat, call and meet.

    python -m tests.soak                            two workers, a minute
    python -m tests.soak --workers 4 --seconds 600 --seed 7
    python -m tests.soak --kill 10                  and every ten seconds, a worker is killed
    python -m tests.soak --stop 20                  a worker hangs for up to twelve seconds
    python -m tests.soak --hup 10                   a worker is replaced in good order
    python -m tests.soak --redis restart 10         Redis is restarted, and empty
    python -m tests.soak --redis pause 20           Redis hangs for some seconds
    python -m tests.soak --redis away 20            Redis is not there for some seconds, then empty
    python -m tests.soak --single                   one worker without a cluster, for comparison

It prints its seed, what has happened, and each fault; the status is 1 if there is one.
"""

from gevent import monkey

monkey.patch_all()

import argparse  # noqa: E402
import contextlib  # noqa: E402
import random  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
from functools import partial  # noqa: E402

import gevent  # noqa: E402

from .checks import check_empty, check_events, check_quiet  # noqa: E402
from .disturbances import Disturbances  # noqa: E402
from .scenario import Scenario  # noqa: E402
from .servers import started  # noqa: E402
from .site import GRACE_PERIOD  # noqa: E402

#: Faults that are printed.
SHOWN = 40


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--kill", type=float, default=None, metavar="SECONDS")
    parser.add_argument("--stop", type=float, default=None, metavar="SECONDS")
    parser.add_argument("--hup", type=float, default=None, metavar="SECONDS")
    parser.add_argument("--redis", nargs=2, default=None, metavar=("KIND", "SECONDS"))
    parser.add_argument("--single", action="store_true")
    options = parser.parse_args()
    seed = random.randrange(1_000_000) if options.seed is None else options.seed
    count = 1 if options.single else options.workers
    print(f"soak: {count} workers, {options.seconds:g} s, --seed {seed}", flush=True)
    with contextlib.ExitStack() as stack:
        events = stack.enter_context(tempfile.NamedTemporaryFile(prefix="soak-events-")).name
        servers = started(count, not options.single, events)
        workers, redis = stack.enter_context(servers)
        scenario = Scenario(seed, [worker.port for worker in workers])
        disturbances = Disturbances(scenario, workers, redis, random.Random(seed))
        disturbances.begin(options)
        # The peers of a worker that was killed are offline after ten seconds.
        scenario.play(partial(gevent.sleep, options.seconds), disturbances.settle)
        disturbances.finish()
        faults = scenario.all_faults() + check_quiet(scenario)
        for player in scenario.players:
            player.device.leave()
        gevent.sleep(GRACE_PERIOD)
        faults += check_empty(workers, redis, is_redis_reliable=not options.redis)
        faults += check_events(events, is_redis_reliable=not options.redis)
        faults += [
            f"worker {worker.number} printed a traceback:\n{worker.output()[-3000:]}"
            for worker in workers
            if "Traceback" in worker.output()
        ]
    for what, times in sorted(scenario.counts.items()):
        print(f"{times:8} {what}")
    for fault in faults[:SHOWN]:
        print(f"FAULT {fault}")
    print(f"{len(faults)} faults, --seed {seed}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
