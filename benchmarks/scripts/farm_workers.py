"""A client in the farm: workers come, each does a coffea task, all go; what each step took is the last line printed.

    python farm_workers.py SIDE SYSTEM WORKERS IMAGE DIRECTORY STEPS

SIDE is ``pocket_exec`` or ``dask_jobqueue``, SYSTEM ``htcondor`` or ``slurm``; DIRECTORY is seen by the jobs; STEPS is
``all``, or ``ids`` to close as soon as the jobs are submitted.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import coffea.nanoevents  # noqa: F401
import dask_jobqueue
import distributed.dashboard.scheduler  # noqa: F401
from distributed import Client, Future, Security

import pocket_exec.executors.batch  # noqa: F401
from pocket_exec.executors.registry import Registry
from pocket_exec.request import Request, choose, make_factory, resolved_options

# An analysis has imported all of it before it asks for workers, on both sides.

LOOK_EVERY_S = 0.01
LONGEST_S = 900.0
MEMORY = 1_000_000_000
IMAGE_PYTHON = "/opt/venv/bin/python"
WALLTIME = "00:50:00"
QUEUES = {
    "htcondor": ["condor_q", "-af", "ClusterId"],
    "slurm": ["squeue", "-h", "--me", "-o", "%i"],
}


@dataclass
class Side:
    """A cluster that is on its way; Dask's own parts of it are the same on both sides."""

    cluster: Callable[[], Any]
    """The cluster, None as long as there is none."""
    client: Callable[[], Client | None]
    ids: Callable[[Any], list[str]]
    """The ids of the jobs that are known to be submitted."""
    fault: Callable[[], BaseException | None] = lambda: None


@contextmanager
def pocket_exec_side(system: str, workers: int, image: str, directory: Path) -> Iterator[Side]:
    """Have the executor ``dask@htcondor`` or ``dask@slurm``, as ``runner.py`` starts and ends it."""
    given: dict[str, Any] = {
        "scaleout": workers,
        "mem-per-worker": MEMORY,
        "worker-image": image,
        "container-runtime": "site" if system == "htcondor" else "apptainer",
        "scheduler-interface": "lo",
        "local-directory": "/tmp",
        "performance-report": False,
        **({"disk-per-worker": None, "image-attribute": "SingularityImage"} if system == "htcondor" else {}),
        **({"walltime": WALLTIME} if system == "slurm" else {}),
    }
    choice = choose(Request(executor=f"dask@{system}"), Registry.installed())
    factory: Any = make_factory(choice, resolved_options(Request(), choice, given, "benchmark"), directory)
    faults: list[BaseException] = []

    def set_up() -> None:
        try:
            factory.setup()
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            faults.append(error)

    thread = threading.Thread(target=set_up)
    thread.start()
    try:
        yield Side(
            lambda: factory.cluster,
            lambda: factory.client if not thread.is_alive() else None,
            lambda cluster: [job.id for job in cluster.jobs()],
            lambda: faults[0] if faults else None,
        )
    finally:
        thread.join()
        factory.close()


@contextmanager
def dask_jobqueue_side(system: str, workers: int, image: str, directory: Path) -> Iterator[Side]:
    """Have dask-jobqueue's cluster, with the options that its documentation shows."""
    common: dict[str, Any] = {
        "cores": 1,
        "memory": f"{MEMORY}B",
        "processes": 1,
        "interface": "lo",
        "security": Security.temporary(),
        "protocol": "tls://",
        "shared_temp_directory": str(directory),
        "log_directory": str(directory / "log"),
        "local_directory": "/tmp",
        "death_timeout": 3600,
        "worker_extra_args": ["--no-dashboard"],
        "scheduler_options": {"dashboard_address": "127.0.0.1:0", "interface": "lo"},
    }
    with ExitStack() as stack:
        if system == "htcondor":
            cluster: Any = dask_jobqueue.HTCondorCluster(
                disk="1MB",
                python=IMAGE_PYTHON,
                job_extra_directives={
                    "MY.SingularityImage": f'"{image}"',
                    "job_max_vacate_time": "5",
                    "initialdir": str(directory),
                },
                **common,
            )
        else:
            cluster = dask_jobqueue.SLURMCluster(
                walltime=WALLTIME,
                python=f"apptainer exec -B {directory} {image} {IMAGE_PYTHON}",
                **common,
            )
        stack.callback(cluster.close)
        cluster.scale(workers)
        client = stack.enter_context(Client(cluster, set_as_default=False))
        yield Side(
            lambda: cluster,
            lambda: client,
            lambda cluster: [job.job_id for job in cluster.workers.values() if job.job_id],
        )


SIDES = {"pocket_exec": pocket_exec_side, "dask_jobqueue": dask_jobqueue_side}


def coffea_task(number: int) -> float:
    """Do what a processor does with a chunk, of events that are made here."""
    import awkward
    import hist
    import numpy as np
    from coffea import processor

    class Task(processor.ProcessorABC):  # type: ignore[misc]  # coffea is not typed
        """Fills a histogram with the muons of events."""

        def process(self, events: Any) -> Any:
            histogram = hist.Hist.new.Reg(100, 0, 200, name="pt").Weight()
            histogram.fill(pt=awkward.flatten(events.pt[events.pt > 20]))
            return {"pt": histogram}

        def postprocess(self, output: Any) -> Any:
            return output

    random = np.random.default_rng(number)
    counts = random.poisson(2, 10_000)
    events = awkward.zip({"pt": awkward.unflatten(random.exponential(30, counts.sum()), counts)}, depth_limit=1)
    outputs = [Task().process(events) for _ in range(2)]
    return float(processor.accumulate(outputs)["pt"].sum().value)


def measured(side: str, system: str, workers: int, image: str, directory: Path, steps: str) -> dict[str, float]:
    """Return what each step took, in seconds."""
    start = time.monotonic()
    seen: dict[str, float] = {}
    done: list[float] = []
    with SIDES[side](system, workers, image, directory) as started:
        asked: dict[str, Future] = {}
        while len(done) < workers and not (steps == "ids" and seen):
            now = time.monotonic() - start
            if (fault := started.fault()) is not None:
                raise fault
            if now > LONGEST_S:
                raise TimeoutError(f"after {now:.0f} s {len(asked)} of {workers} workers are there, {len(done)} worked")
            cluster, client = started.cluster(), started.client()
            if cluster is not None and "ids_s" not in seen and len(started.ids(cluster)) == workers:
                seen["ids_s"] = now
            if client is not None:
                for address in [*cluster.scheduler.workers]:
                    if address not in asked:
                        future = client.submit(coffea_task, len(asked), workers=[address], pure=False)
                        future.add_done_callback(lambda _: done.append(time.monotonic() - start))
                        asked[address] = future
            time.sleep(LOOK_EVERY_S)
        sums = [future.result() for future in asked.values()]
        if done:
            seen |= {"first_s": min(done), "last_s": max(done)}
        if any(total <= 0 for total in sums):
            raise RuntimeError("a worker has done nothing")
        start = time.monotonic()
    seen["close_s"] = time.monotonic() - start
    while subprocess.run(QUEUES[system], check=True, capture_output=True).stdout.strip():
        if time.monotonic() - start > LONGEST_S:
            raise TimeoutError("jobs are left in the queue")
        time.sleep(0.05)
    seen["empty_s"] = time.monotonic() - start
    return seen


def main() -> None:
    """Measure and print."""
    side, system, workers, image, directory, steps = sys.argv[1:]
    print(json.dumps(measured(side, system, int(workers), image, Path(directory), steps)))


if __name__ == "__main__":
    main()
