"""Z to mumu on two workers: coffea's DaskExecutor and this project's engine on one cluster; futures beside one core."""

from __future__ import annotations

import gc
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from dimuons import Case, by_hand, by_runner, ours
from measure import Figure, Row, in_turns
from profiling import profile

ROUNDS = 5
WORKERS = 2
PATIENCE_S = 60.0
WIDE = Case(617, 2, 200_000, 10_000, 5)
NARROW = Case(17, 8, 200_000, 10_000, 2)
FUTURES_GOAL = 1.7
FUTURES_DATASETS = 12
"""So often are the files processed: the processes take a second or two to start, which a real run does not notice."""


def rows(*, quick: bool) -> Iterator[Row]:
    """Yield a row for each width of the tree."""
    with cluster() as client:
        for case in (WIDE.sized(quick=quick), NARROW.sized(quick=quick)):
            paths = case.paths()
            sides = dict(zip(("DaskExecutor", "pocket-exec"), on_cluster(client), strict=True))
            expected = by_hand(case, paths)
            numbers = itertools.count(1)
            for name, executor in sides.items():
                # The workers have imported everything before the clock starts.
                if by_runner(executor, case, paths, run=next(numbers)) != expected:
                    raise RuntimeError(f"{case.name}: {name} does not agree with the loop")
            took = in_turns(
                {name: partial(_wall_s, client, executor, case, paths, numbers) for name, executor in sides.items()},
                1 if quick else ROUNDS,
            )
            yield Row(
                f"Z->mumu, {case.name}, {WORKERS} workers: pocket-exec",
                took["pocket-exec"],
                "DaskExecutor",
                took["DaskExecutor"],
                "s",
                case.goal,
                Figure.SPEED_UP,
                profile=partial(profile, partial(by_runner, ours, case, paths)),
            )


def futures_rows(*, quick: bool) -> Iterator[Row]:
    """Yield what two processes gain over one, the start of the processes included."""
    import pocket_exec

    case = NARROW.sized(quick=quick)
    paths = case.paths()
    datasets = 1 if quick else FUTURES_DATASETS

    def wall_s(executor: str, **options: Any) -> float:
        with pocket_exec.open_executor(executor, module_dirs=[Path(__file__).parent], **options) as opened:
            begin = time.perf_counter()
            by_runner(lambda: opened, case, paths, datasets=datasets)
            return time.perf_counter() - begin

    variants = {"iterative": partial(wall_s, "iterative"), "futures": partial(wall_s, "futures", scaleout=WORKERS)}
    took = in_turns(variants, 1 if quick else ROUNDS)
    what, beside = f"-e futures -s {WORKERS}, the Runner's call", "-e iterative"
    yield Row(what, took["futures"], beside, took["iterative"], "s", FUTURES_GOAL, Figure.SPEED_UP)


@contextmanager
def cluster() -> Iterator[Any]:
    """Give a client of a local cluster of one-thread workers."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=WORKERS, threads_per_worker=1, dashboard_address="127.0.0.1:0", host="127.0.0.1"
        ) as started,
        Client(started, set_as_default=False) as client,
    ):
        yield client


def on_cluster(client: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return what makes coffea's executor, and this project's, on the cluster's workers."""
    from coffea.processor import DaskExecutor

    from pocket_exec.executors.dask_pool import DaskPool

    return (
        partial(DaskExecutor, client=client, status=False),
        lambda: ours(pool=DaskPool(client, PATIENCE_S)),
    )


def _wall_s(client: Any, executor: Callable[[], Any], case: Case, paths: list[Path], numbers: Iterator[int]) -> float:
    """Time a run that no worker knows anything of."""
    client.run(gc.collect)
    begin = time.perf_counter()
    by_runner(executor, case, paths, run=next(numbers))
    return time.perf_counter() - begin
