"""Opens supervised clusters on the fake batch system; run as a program, it is a client that can be killed."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distributed import Client

from pocket_exec.batch.cluster import SupervisedCluster
from pocket_exec.batch.guardian import Guardian
from pocket_exec.batch.ports import SchedulerPlace
from pocket_exec.batch.supervisor import Supervision
from pocket_exec.batch.system import Limits, Resources, Submission
from pocket_exec.batch.worker_job import Patience
from pocket_exec.worker.statuses import LOG_MARK
from tests.contract.local_batch import LocalBatch

QUICK = Patience(
    listed_s=2.0,
    connected_s=120.0,
    gone_s=5.0,
    settled_s=10.0,
    backoff_s=0.1,
    backoff_most_s=1.0,
    quick_s=0.2,
    changed_s=0.05,
)
PLACE = SchedulerPlace(host="127.0.0.1", interface="lo")
WORKER = (
    '{python} -m distributed.cli.dask_worker {contact} --name "$1" --nthreads 1 --no-nanny --no-dashboard '
    "--memory-limit 500MB --death-timeout 20 --local-directory {directory}/scratch {more}"
)


class Maker:
    """Makes a submission whose script starts a real worker, or what a test puts in its place."""

    def __init__(self, directory: Path, script: str = "exec " + WORKER, more: str = "", walltime_s: int | None = None):
        self.directory = directory
        self.script = script
        self.more = more
        self.resources = Resources(1, 10**9, walltime_s=walltime_s)
        self.tag = f"pocket-exec-{secrets.token_hex(6)}"

    def __call__(self, contact: str) -> Submission:
        """Write the script."""
        path = self.directory / "worker.sh"
        words = {"python": sys.executable, "contact": contact, "directory": self.directory, "more": self.more}
        path.write_text(self.script.format(**words) + "\n")
        log = self.directory / "log"
        return Submission(self.tag, (), path, self.directory, log, self.resources)


@contextmanager
def supervised(system: LocalBatch, make: Maker, workers: int, **changes: Any) -> Iterator[SupervisedCluster]:
    """Open a cluster, and close it."""
    supervision = Supervision(
        changes.pop("poll_interval_s", 0.3),
        LOG_MARK,
        changes.pop("limits", Limits()),
        changes.pop("patience", QUICK),
        frozenset({75}),
    )
    log = make.directory / "log"
    with Guardian(log / "guardian.log", log / "jobs.json") as guardian:
        cluster = SupervisedCluster(
            system,
            make,
            guardian=guardian,
            n_workers=workers,
            resources=make.resources,
            supervision=supervision,
            place=changes.pop("place", PLACE),
            security=changes.pop("security", None),
            jobs_file=log / "jobs.json",
            **changes,
        )
        try:
            yield cluster
        finally:
            cluster.close()


def local_system(directory: Path, **faults: Any) -> LocalBatch:
    """Return a fake batch system whose queue, logs and scripts are in ``directory``."""
    for name in ("queue", "log"):
        (directory / name).mkdir(exist_ok=True)
    return LocalBatch(directory / "queue", **faults)


def main() -> None:
    """Start two workers in a directory, say so, and end in a way that is asked for."""
    directory, way = Path(sys.argv[1]), sys.argv[2]
    system = local_system(directory, delay_s=3.0 if way == "submitting" else 0.0)
    if way == "forgets":
        supervision = Supervision(0.3, LOG_MARK, patience=QUICK)
        guardian = Guardian(directory / "log" / "guardian.log")
        make = Maker(directory)
        cluster = SupervisedCluster(
            system,
            make,
            guardian=guardian,
            n_workers=2,
            resources=make.resources,
            supervision=supervision,
            place=PLACE,
            security=None,
            jobs_file=directory / "log" / "jobs.json",
        )
        cluster.wait_for_first_worker(60)
        return
    with supervised(system, Maker(directory), 2) as cluster, Client(cluster, set_as_default=False) as client:
        if way == "submitting":
            while not (system.queue / "submitting").exists():
                time.sleep(0.01)
        else:
            client.wait_for_workers(2, timeout=60)
        print("here", flush=True)
        time.sleep(600)


if __name__ == "__main__":
    main()
