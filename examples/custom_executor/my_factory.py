"""An executor of one's own: Dask workers on this machine that let other people's programs go first.

    runner.py --cfg cfg.py -o out -e dask --executor-custom-setup my_factory.py --niceness 15

What is special to a cluster stands in ``connect``: start it, put on ``self.stack`` what has to be released, and return
a client. Merging, retries, results and the run's record are then as with every other executor.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from distributed import Client, LocalCluster
from distributed.security import Security
from pydantic import Field

from pocket_exec.executors import DaskExecutorFactory
from pocket_exec.options.model import DaskOptions


class Options(DaskOptions):
    """The options of Dask executors and one more: in YAML ``niceness: 15``, as a flag ``--niceness 15``."""

    niceness: int = Field(default=10, ge=0, le=19)
    """How far the workers stand back: 0 not at all, 19 as far as can be."""


class NiceDaskExecutorFactory(DaskExecutorFactory):
    """Starts ``scaleout`` Dask workers here and makes them nice."""

    options_model = Options

    def connect(self) -> Client:
        """Start the workers and return a client of their scheduler."""
        options = self.options
        cluster = LocalCluster(
            n_workers=options.scaleout,
            threads_per_worker=options.cores_per_worker,
            memory_limit=int(options.mem_per_worker),
            dashboard_address="127.0.0.1:0",
            protocol="tls://",
            security=Security.temporary(),  # without it, anyone on this machine could run code in the workers
        )
        self.stack.callback(cluster.close)
        client = self.stack.enter_context(Client(cluster, security=cluster.security))
        client.wait_for_workers(options.scaleout)
        client.run(os.nice, options.niceness)
        return client


def get_executor_factory(name: str, run_options: Any, outputdir: Path | None) -> NiceDaskExecutorFactory:
    """Return the factory; ``name`` is the part of the executor string before '@'."""
    if name != "dask":
        raise ValueError(f"this module has a factory for dask, and none for {name!r}")
    return NiceDaskExecutorFactory(run_options, outputdir)
