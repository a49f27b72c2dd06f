"""An analysis as a script of one's own: coffea's Runner, with an executor of coffea's or of this project's.

    python own_script.py CFG EXECUTOR OUTPUT TIMES [CHUNKSIZE]

Takes fileset, processor and schema from a cfg.py, saves the output, and leaves the seconds of the Runner's call in the
file TIMES.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from coffea import processor, util
from coffea.nanoevents import NanoAODSchema

WORKERS = 2


@contextmanager
def opened(name: str) -> Iterator[processor.executor.ExecutorBase]:
    """Give the executor ``coffea:<kind>`` or ``pocket_exec:<executor string>``."""
    origin, _, kind = name.partition(":")
    if origin == "pocket_exec":
        import pocket_exec

        options = {} if kind == "iterative" else {"scaleout": WORKERS}
        with pocket_exec.open_executor(kind, **options) as executor:
            yield executor
    elif kind == "iterative":
        yield processor.IterativeExecutor(status=False)
    elif kind == "futures":
        yield processor.FuturesExecutor(workers=WORKERS, status=False)
    else:
        with cluster_client(secure=kind == "dask-tls") as client:
            yield processor.DaskExecutor(client=client, status=False)


@contextmanager
def cluster_client(*, secure: bool) -> Iterator[Any]:
    """Give a client of two workers with one thread each."""
    from distributed import Client, LocalCluster
    from distributed.security import Security

    arguments = {"protocol": "tls://", "security": Security.temporary()} if secure else {}
    with (
        LocalCluster(
            n_workers=WORKERS, threads_per_worker=1, dashboard_address="127.0.0.1:0", host="127.0.0.1", **arguments
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def loaded(path: Path) -> Any:
    """Import a cfg.py, and what stands beside it, here and in the workers."""
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location("cfg", path)
    assert spec is not None
    assert spec.loader is not None
    cfg = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(cfg)
    return cfg


def main(path: str, executor_name: str, output: str, times: str, chunksize: str | None = None) -> None:
    """Run, and save."""
    cfg = loaded(Path(path))
    with opened(executor_name) as executor:
        run = processor.Runner(
            executor=executor,
            schema=getattr(cfg, "schema", NanoAODSchema),
            chunksize=int(chunksize or cfg.run_options["chunksize"]),
        )
        begin = time.perf_counter()
        result = run(cfg.fileset, cfg.processor)
        seconds = time.perf_counter() - begin
        util.save(result, output)
    Path(times).write_text(json.dumps(seconds))


if __name__ == "__main__":  # the worker processes import this file
    main(*sys.argv[1:])
