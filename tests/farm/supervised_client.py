"""A client in the farm: a supervised cluster with the batch system that is named, and what is to happen to it.

It prints one line of JSON for each thing that is seen.
"""

from __future__ import annotations

import json
import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from distributed import Client

from pocket_exec.batch.cluster import SupervisedCluster
from pocket_exec.batch.find import batch_system
from pocket_exec.batch.guardian import Guardian
from pocket_exec.batch.ports import SchedulerPlace
from pocket_exec.batch.supervisor import Supervision
from pocket_exec.batch.system import BatchSystem, Limits, Resources, Submission
from pocket_exec.command import run
from pocket_exec.executors.registry import Registry
from pocket_exec.request import Request, choose, resolved_options
from pocket_exec.worker.statuses import LOG_MARK

RESOURCES = Resources(cores=1, memory=500_000_000, walltime_s=3600)
WORKER = """#!/bin/bash
exec {python} -m distributed.cli.dask_worker {contact} --name "$1" --nthreads 1 --no-nanny --no-dashboard \\
    --memory-limit 400MB --death-timeout 60 --local-directory "$(mktemp -d)"
"""


def tell(**seen: Any) -> None:
    """Print what is seen."""
    print(json.dumps(seen), flush=True)


def until(true: Callable[[], bool], seconds: float) -> None:
    """Wait for it."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def task(number: int) -> int:
    """Work for a while."""
    time.sleep(0.05)
    return number + 1


def connected(cluster: SupervisedCluster) -> list[str]:
    """Return the names of the workers that are there."""
    return sorted(job.name for job in cluster.jobs() if job.connected)


def lose_some(system: BatchSystem, cluster: SupervisedCluster, client: Client) -> None:
    """Remove one job and hold another, and see them replaced while a map goes on."""
    work = client.map(task, range(300))
    ids = {job.name: job.id for job in cluster.jobs() if job.connected}
    removed, held = list(ids)[:2]
    system.cancel([ids[removed]])
    if system.name == "htcondor":
        run(["condor_hold", ids[held]], timeout_s=30)
    else:
        run(["scancel", "--signal=KILL", ids[held]], timeout_s=30)
    start = time.monotonic()
    wanted = len(ids)
    until(lambda: len(connected(cluster)) == wanted and not {removed, held} & set(connected(cluster)), 120)
    tell(replaced_s=time.monotonic() - start, sum=sum(client.gather(work)))


def main() -> None:
    """Start workers, tell of them, have them lost, close."""
    name, workers, way, directory = sys.argv[1], int(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
    options = resolved_options(
        Request(), choose(Request(executor=f"dask@{name}"), Registry.installed()), {"scaleout": workers}, "test"
    ).options
    system = batch_system(options)
    tag = f"pocket-exec-{secrets.token_hex(6)}"
    logs = directory / "log"
    logs.mkdir(exist_ok=True)

    def make(contact: str) -> Submission:
        script = directory / "worker.sh"
        text = "#!/bin/bash\necho pocket-exec worker $1: no image >&2\nexit 73\n" if way == "dies" else WORKER
        script.write_text(text.format(python=sys.executable, contact=contact))
        script.chmod(0o700)
        return Submission(tag, (), script, directory, logs, RESOURCES)

    with Guardian(logs / "guardian.log") as guardian:
        start = time.monotonic()
        cluster = SupervisedCluster(
            system,
            make,
            guardian=guardian,
            n_workers=workers,
            resources=RESOURCES,
            supervision=Supervision(
                2.0, LOG_MARK, limits=Limits(jobs_per_submission=100), hopeless_exits=frozenset({73})
            ),
            place=SchedulerPlace(interface="lo"),
            security=None,
            jobs_file=logs / "jobs.json",
        )
        try:
            tell(tag=tag)
            if way == "dies":
                until(lambda: cluster.trouble() is not None, 120)
                tell(trouble=cluster.trouble(), after_s=time.monotonic() - start)
                return
            until(lambda: len(cluster.jobs()) == workers, 60)
            tell(ids_s=time.monotonic() - start)
            cluster.wait_for_first_worker(120)
            tell(first_s=time.monotonic() - start)
            with Client(cluster, set_as_default=False) as client:
                client.wait_for_workers(workers, timeout=120)
                tell(all_s=time.monotonic() - start)
                if way == "works":
                    lose_some(system, cluster, client)
                elif way == "waits":
                    time.sleep(600)
        finally:
            start = time.monotonic()
            cluster.close()
            tell(close_s=time.monotonic() - start)


if __name__ == "__main__":
    main()
